"""The assignments: their masters, what is made from them, and the grader.

``python -m assignments --help`` lists the commands; ``README.md`` describes the masters.

    checks      what a check says of an answer; each starter notebook carries this module
    master      a master notebook: its questions, what runs it, the starter
    slices      the part of a submission that a function needs
    child       the process in which submissions run
    sandbox     the grader's end of it
    grading     submissions in, grades and reports out
    packages    Gradescope's packages, and otter's master
"""
