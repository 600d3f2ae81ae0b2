"""Read the table of atoms of one extended XYZ frame from bytes, at the speed of the machine.

What is read here is what nearly every file holds: plain ASCII, numbers of at most 19 digits. All
else (``nan``, a word where a number should be, a row too short) is not judged here: the table is
declined, and the reader of lines reads it and says what is wrong.

Numbers are rounded to the nearest float64, ties to even, as `float` rounds them: the algorithm of
Lemire, Softw. Pract. Exp. 51, 1700 (2021), arXiv:2101.11408.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from ase.data import atomic_numbers

#: Kinds of columns: chemical symbols, reals, integers, truths, words.
SYMBOL, REAL, INTEGER, TRUTH, WORD = range(5)
#: What stands for a table that is not plain, and for one that is not wholly in the buffer.
DECLINED, CUT_SHORT = -1, -2

_RANGE: Final = 60  # powers of ten that the table of powers of five holds, on either side
_SPACE, _TAB, _NEWLINE = 32, 9, 10
_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)


def _symbol_table() -> np.ndarray:
    """Return the atomic number by the bytes of a symbol of one or two letters; 0 for none."""
    table = np.zeros(1 << 16, dtype=np.uint8)
    for symbol, number in atomic_numbers.items():
        if 0 < number < 119 and len(symbol) < 3:
            table[int.from_bytes(symbol.encode(), "big")] = number
    return table


def _powers_of_five() -> np.ndarray:
    """Return the leading 128 bits of 5^q for q from -60 to 60, as two words each, high first.

    Reciprocals are rounded up, powers cut off, as the proof of the algorithm needs it.
    """
    rows = []
    for q in range(-_RANGE, _RANGE + 1):
        power = 5 ** abs(q)
        if q < 0:
            bits = (power - 1).bit_length()
            wide = bits + 127 if q >= -27 else 2 * bits + 128
            lead = 2**wide // power + 1
        else:
            lead = power << 128
        lead >>= lead.bit_length() - 128
        rows.append((lead >> 64, lead & (2**64 - 1)))
    return np.array(rows, dtype=np.uint64)


_SYMBOLS: Final = _symbol_table()
_POWERS: Final = _powers_of_five()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the 128 bits of a product, high word first."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low = a_low * b_low
    middle = a_high * b_low + (low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    high = a_high * b_high + (middle >> _HALF) + (other >> _HALF)
    return high, (other << _HALF) | (low & _LOW)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _nearest_real(digits: np.uint64, power: int) -> np.uint64:
    """Return the bits of the float64 nearest to digits · 10^power; all bits set: not told."""
    if digits == np.uint64(0):
        return np.uint64(0)
    if power < -_RANGE or power > _RANGE:
        return _ALL
    shift = 0
    w = digits
    for step in (32, 16, 8, 4, 2, 1):
        if w >> np.uint64(64 - step) == np.uint64(0):
            w <<= np.uint64(step)
            shift += step
    high, low = _product(w, _POWERS[power + _RANGE, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _product(w, _POWERS[power + _RANGE, 1])
        low += more
        if more > low:
            high += _ONE
    if low == _ALL and (power < -27 or power > 55):
        return _ALL
    top = high >> np.uint64(63)
    cut = top + np.uint64(9)
    mantissa = high >> cut
    # Exact halves, which only these powers can make, go to the even neighbour.
    half = low <= _ONE and -4 <= power <= 23 and mantissa & np.uint64(3) == _ONE
    if half and mantissa << cut == high:
        mantissa &= ~_ONE
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    exponent = ((217706 * power) >> 16) + 63 + np.int64(top) - shift + 1023
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        exponent += 1
    # With 60 powers on either side no number is subnormal, and none overflows.
    return (mantissa & np.uint64((1 << 52) - 1)) | (np.uint64(exponent) << np.uint64(52))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _real(text: np.ndarray, i: int) -> tuple[int, np.uint64]:
    """Read a number at `i`; return the place after it (or `DECLINED`) and the number's bits."""
    n = len(text)
    sign = np.uint64(0)
    if text[i] == 45 or text[i] == 43:
        sign = np.uint64(text[i] == 45) << np.uint64(63)
        i += 1
    digits, count, seen, point, power = np.uint64(0), 0, False, False, 0
    while i < n:
        letter = text[i]
        if 48 <= letter <= 57:
            seen = True
            count += count > 0 or letter > 48
            if count > 19:
                return DECLINED, sign
            digits = digits * np.uint64(10) + np.uint64(letter - 48)
            power -= point
        elif letter == 46 and not point:
            point = True
        else:
            break
        i += 1
    if not seen:
        return DECLINED, sign
    if i < n and (text[i] == 101 or text[i] == 69):
        i += 1
        minus = i < n and text[i] == 45
        if minus or (i < n and text[i] == 43):
            i += 1
        start, exponent = i, 0
        while i < n and 48 <= text[i] <= 57 and i - start < 4:
            exponent = exponent * 10 + int(text[i] - 48)
            i += 1
        if i == start:
            return DECLINED, sign
        power += -exponent if minus else exponent
    bits = _nearest_real(digits, power)
    return (DECLINED if bits == _ALL else i), bits | sign


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _integer(text: np.ndarray, i: int) -> tuple[int, int]:
    """Read an integer of at most 18 digits at `i`; return the place after it, and it."""
    n, minus = len(text), text[i] == 45
    if minus or text[i] == 43:
        i += 1
    start, value = i, 0
    while i < n and 48 <= text[i] <= 57 and i - start < 18:
        value = value * 10 + int(text[i] - 48)
        i += 1
    return (i if i > start else DECLINED), (-value if minus else value)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def read_table(
    text: np.ndarray,
    start: int,
    kinds: np.ndarray,
    numbers: np.ndarray,
    reals: np.ndarray,
    integers: np.ndarray,
) -> int:
    """Read the rows of a table that begins at a place in a text.

    Parameters
    ----------
    text : array of uint8
        Ends with a newline.
    start : int
    kinds : array of int64, shape (c,)
        One of `SYMBOL` (at most once), `REAL`, `INTEGER`, `TRUTH`, `WORD` for each column.
    numbers : array of uint8, shape (n,)
        Takes the atomic numbers. Its length tells the number of rows.
    reals : array of uint64, shape (n, number of real columns)
        Takes the bits of the reals.
    integers : array of int64, shape (n, columns of integers and truths + twice those of words)
        Takes integers, truths as 0 and 1, and where a word begins and ends.

    Returns
    -------
    int
        Where the text goes on after the table, `DECLINED` or `CUT_SHORT`.
    """
    i, n = start, len(text)
    for row in range(len(numbers)):
        real = integer = 0
        for kind in kinds:
            while i < n and (text[i] == _SPACE or text[i] == _TAB):
                i += 1
            if i >= n:
                return CUT_SHORT
            first = i
            if kind == REAL:
                i, bits = _real(text, i)
                reals[row, real] = bits
                real += 1
            elif kind == INTEGER:
                i, value = _integer(text, i)
                integers[row, integer] = value
                integer += 1
            else:
                while i < n and 32 < text[i] < 127:
                    i += 1
                length = i - first
                if kind == WORD:
                    integers[row, integer], integers[row, integer + 1] = first, i
                    integer += 2
                elif kind == TRUTH:
                    true = text[first] == 84 or text[first] == 49
                    if length != 1 or not (true or text[first] == 70 or text[first] == 48):
                        return DECLINED
                    integers[row, integer] = true
                    integer += 1
                else:
                    code = np.int64(text[first])
                    if length == 2:
                        code = 256 * code + np.int64(text[first + 1])
                    if length > 2 or length < 1 or _SYMBOLS[code] == 0:
                        return DECLINED
                    numbers[row] = _SYMBOLS[code]
                if length < 1:
                    return DECLINED
            if i < 0:
                return DECLINED
            if i < n and not (text[i] == _SPACE or text[i] == _TAB or text[i] == _NEWLINE):
                return DECLINED
        while i < n and (text[i] == _SPACE or text[i] == _TAB):
            i += 1
        if i >= n:
            return CUT_SHORT
        if text[i] != _NEWLINE:
            return DECLINED
        i += 1
    return i
