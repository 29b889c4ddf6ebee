"""espeak-ng in process: text → waveform.

A thin ctypes shim over the library that the PyPI package `espeakng-loader` carries (extra `synth`; espeak-ng
is GPL-3 and therefore never part of desta2 itself). About seven times faster than one command-line process
per clip. The library keeps global state: one `Synthesiser` per process, no threads. It reads its data from a
temporary folder of links, where the timbres of `timbres` stand beside those that it ships.

API of the C library: https://github.com/espeak-ng/espeak-ng/blob/master/src/include/espeak-ng/speak_lib.h
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from desta2.errors import InputError, RunError
from desta2.nano.timbres import lay_out
from desta2.nano.voices import OWN_VARIANTS

_RETRIEVAL = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come through the callback, in the calling thread
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CHARS_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def require_espeak() -> None:
    """Check, without starting the engine, that it can be had.

    Raises:
        InputError: the package `espeakng-loader` is not installed.
    """
    if find_spec("espeakng_loader") is None:
        raise InputError("speech synthesis needs the extra 'synth': pip install 'desta2[synth]'")


class Synthesiser:
    """One espeak-ng engine.

    Attributes:
        sampling_rate: of the waveforms it returns, in Hz.

    Raises:
        InputError: the package `espeakng-loader` is not installed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise InputError(
                "speech synthesis needs the extra 'synth': pip install 'desta2[synth]'"
            ) from error
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        self._folder = tempfile.TemporaryDirectory(prefix="desta2-espeak-")  # removed with this object
        data = Path(self._folder.name)
        lay_out(Path(espeakng_loader.get_data_path()), data, OWN_VARIANTS)
        self._variants = data / "voices" / "!v"
        self.sampling_rate: int = self._lib.espeak_Initialize(_RETRIEVAL, 0, str(data).encode(), 0)
        if self.sampling_rate <= 0:
            raise RunError(f"espeak-ng could not start with its data in {data}")
        # Breath is noise, which espeak-ng would seed from the clock.
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks: list[np.ndarray] = []
        self._callback = _Callback(self._collect)  # kept: ctypes does not hold a reference
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count: int, _events) -> int:  # type: ignore[no-untyped-def]
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int = 50) -> np.ndarray:
        """Speak one sentence.

        Args:
            text: what to say.
            voice: a voice file with an optional variant, such as "gmw/en-US+f3".
            rate: words per minute, 80 to 450.
            pitch: espeak's base pitch, 0 to 99.
            pitch_range: espeak's liveliness of intonation, 0 (monotone) to 99.

        Returns:
            float32 waveform in [-1, 1], shape (samples,), at `sampling_rate`.

        Raises:
            InputError: espeak-ng has no such voice or variant.
        """
        variant = voice.partition("+")[2]
        # of a variant that is not there, espeak says nothing and takes the plain voice
        known = not variant or (self._variants / variant).is_file()
        if not known or self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        encoded = text.encode()
        self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        self._lib.espeak_Synchronize()
        if not self._chunks:
            raise RunError(f"espeak-ng returned no samples for {text!r} with voice {voice!r}")
        return np.concatenate(self._chunks).astype(np.float32) / 32768.0


@cache
def synthesiser() -> Synthesiser:
    """The engine of this process, started at first use."""
    return Synthesiser()
