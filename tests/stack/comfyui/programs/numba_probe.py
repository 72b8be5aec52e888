"""A package's function that wants its machine code kept."""

import numba


@numba.njit(cache=True)
def doubled(number):
    return number * 2
