"""What the processor can do."""

from pathlib import Path

AMX = "AMX"
_CPUINFO = Path("/proc/cpuinfo")
# What oneDNN, which TensorFlow computes with, has bfloat16 kernels for.
_UNITS = {"amx_bf16": AMX, "avx512_bf16": "AVX512-BF16"}


def bfloat16_units() -> str | None:
    """Names the instructions of this processor that multiply matrices of bfloat16."""
    flags = processor().get("flags", "").split()
    return next((name for flag, name in _UNITS.items() if flag in flags), None)


def processor() -> dict[str, str]:
    """Reads what Linux tells of the processor, such as its "model name" and "flags"."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
