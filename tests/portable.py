"""The chapters' stored outputs and the package's tests as other processors would compute them.

What a program computes in its last digits depends on the processor: OpenBLAS, numpy, torch, MKL,
oneDNN and the C library each choose their kernels when they are loaded.  This runs the chapters
and the tests once for each choice below, after asking the libraries which one they took; then
the package's tests with the oldest versions of its dependencies that ``pyproject.toml`` allows.
Tests whose answers have no digits (of files, of errors, of imports) are run elsewhere.

``make test`` computes on the machine as it is: the chapters with one thread, and the package's
tests with a thread for each core.  In a run that counts it in the same total, what the libraries
would do likewise is not done twice.  There the package's tests run with one thread as Nehalem.

    python tests/portable.py                    all of them
    python tests/portable.py haswell nehalem    these
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import bounds
import run

ONE_THREAD = run.SHARED
# Nothing in these is computed in floating point that could differ.
WITHOUT_DIGITS = ("doors", "files", "house", "stored_results", "sweep", "benchmarks", "datasets")


@dataclass(frozen=True)
class Processor:
    """What is set for the libraries, and what they must then answer.

    ``kernel`` is OpenBLAS's, ``newest`` the last of numpy's groups of instructions that stays on,
    ``torch`` the kernels of torch; empty means whatever this machine has.
    """

    name: str
    says: str
    kernel: str = ""
    newest: str = ""
    torch: str = ""
    threads: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


PROCESSORS = (
    Processor(
        "native", "this machine as it is, with a thread for each core", environment=run.ALL_CORES
    ),
    Processor(
        "haswell",
        "256-bit vectors and fused multiply-add, as from 2013 on (also AMD's Zen)",
        kernel="Haswell",
        newest="X86_V3",
        torch="AVX2",
        environment={
            "OPENBLAS_CORETYPE": "Haswell",
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
        },
    ),
    Processor(
        "nehalem",
        "128-bit vectors, no fused multiply-add, as from 2008 on",
        kernel="Nehalem",
        newest="X86_V2",
        torch="DEFAULT",
        environment={
            "OPENBLAS_CORETYPE": "Nehalem",
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
        },
    ),
    Processor("one-thread", "one thread, so that sums have another order", threads=1),
)

# numpy's groups of instructions, in the order in which processors got them.
GROUPS = ("X86_V2", "X86_V3", "X86_V4")

ASK = """
import json, warnings
import scipy.linalg, threadpoolctl, torch
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
pools = threadpoolctl.threadpool_info()
blas = [pool for pool in pools if pool["internal_api"] == "openblas"]
print(json.dumps({
    "kernels": sorted({pool["architecture"] for pool in blas}),
    "threads": max(pool["num_threads"] for pool in pools),
    "numpy": [name for name in __cpu_dispatch__ if __cpu_features__[name]],
    "torch": torch.backends.cpu.get_cpu_capability(),
}))
"""


def asked(environment: Mapping[str, str]) -> dict[str, object]:
    """What the libraries say that they use in a process of this environment."""
    return dict(_answer(tuple(sorted(environment.items()))))


@cache
def _answer(environment: tuple[tuple[str, str], ...]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**run.SHARED, **os.environ, **dict(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"numpy, scipy or torch could not be loaded:\n{done.stderr}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def environment_of(processor: Processor, native: Mapping[str, object]) -> dict[str, str]:
    """The variables that make this machine compute like that one."""
    made = dict(processor.environment)
    if processor.threads:
        made |= ONE_THREAD
    on = native["numpy"]
    assert isinstance(on, list)
    if processor.newest:
        allowed = GROUPS[: GROUPS.index(processor.newest) + 1]
        made["NPY_DISABLE_CPU_FEATURES"] = " ".join(name for name in on if name not in allowed)
    return made


def differences(processor: Processor, found: Mapping[str, object]) -> list[str]:
    """Where the libraries did not take what was asked for."""
    wrong = []
    if processor.kernel and found["kernels"] != [processor.kernel]:
        wrong.append(f"OpenBLAS runs {found['kernels']}, not {processor.kernel}")
    if processor.torch and found["torch"] != processor.torch:
        wrong.append(f"torch runs {found['torch']}, not {processor.torch}")
    if processor.threads and found["threads"] != processor.threads:
        wrong.append(f"there are {found['threads']} threads, not {processor.threads}")
    on = found["numpy"]
    assert isinstance(on, list)
    if processor.newest:
        allowed = GROUPS[: GROUPS.index(processor.newest) + 1]
        if later := [name for name in on if name not in allowed]:
            wrong.append(f"numpy uses {', '.join(later)} as well")
    return wrong


def parts_for(processor: Processor, environment: dict[str, str]) -> list[run.Part]:
    """The package's tests and the chapters, on that processor."""
    left_out = [f"--ignore=tests/test_{name}.py" for name in WITHOUT_DIGITS]
    package = replace(run.PACKAGE, command=[*run.PACKAGE.command, *left_out])
    return [
        replace(part, name=f"{processor.name}: {part.name}", environment=environment)
        for part in [package, *run.chapter_parts()]
    ]


def on_processor(
    processor: Processor, native: Mapping[str, object], tested: bool = False
) -> list[run.Outcome]:
    """Says what is emulated, checks that it is, and runs everything on it.

    Args:
        processor: which one.
        native: what the libraries use on this machine as it is.
        tested: whether the package's tests passed in ``make test``, which counts in this total.
    """
    environment = environment_of(processor, native)
    print(f"\n##### {processor.name}: {processor.says}", flush=True)
    for name, value in environment.items():
        print(f"  {name}={value}")
    found = asked(environment)
    print(f"  OpenBLAS: {', '.join(found['kernels'])}; torch: {found['torch']}", end="")
    print(f"; numpy beyond its baseline: {', '.join(found['numpy']) or 'nothing'}", end="")
    print(f"; threads: {found['threads']}", flush=True)
    if wrong := differences(processor, found):
        print("\n".join(["  not emulated:", *wrong]))
        return [run.Outcome(f"{processor.name}: emulation", 0, 1, 0, 0.0)]
    if tested and found == asked(ONE_THREAD):
        print("  which is what `make test` has just computed the chapters with", flush=True)
        return [run.Outcome(f"{processor.name}: emulation", 1, 0, 0, 0.0)]
    parts = parts_for(processor, environment)
    if tested and found == asked(run.ALL_CORES):
        print("  which is what `make test` has just tested the package with", flush=True)
        parts = parts[1:]
    outcomes = run.run_all(parts)
    return [run.Outcome(f"{processor.name}: emulation", 1, 0, 0, 0.0), *outcomes]


def can_run(processor: Processor, native: Mapping[str, object]) -> bool:
    """Whether this machine has the instructions of that one."""
    if not processor.kernel:
        return True
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return processor.newest == "X86_V2" or processor.newest in native["numpy"]


def main(names: list[str]) -> int:
    """Runs the named processors, or all and the lower bounds; returns the exit status."""
    known = [processor.name for processor in PROCESSORS] + ["bounds"]
    if unknown := set(names) - set(known):
        print(f"no processor is called {', '.join(unknown)}; there are: {known}", file=sys.stderr)
        return 2
    native, outcomes = asked({}), []
    earlier = {each.name: not each.failed for each in run.earlier_outcomes()}
    tested = not names and earlier.get(run.PACKAGE.name, False)
    for processor in PROCESSORS:
        if names and processor.name not in names:
            continue
        if can_run(processor, native):
            outcomes += on_processor(processor, native, tested)
        else:
            reason = [f"this machine cannot do what {processor.name} can"]
            outcomes.append(run.Outcome(f"{processor.name}: emulation", 0, 0, 1, 0.0, reason))
    if not names or "bounds" in names:
        outcomes += bounds.outcomes()
    return run.finish(outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
