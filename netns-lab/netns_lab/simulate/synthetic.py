"""A world made up from geography: nodes around large cities, RTT by distance, detours and access.

    RTT(a, b) = access(a) + access(b) + 2 * great circle / (2/3 of the speed of light) * detour(a, b)

Cities are drawn by their number of people, nodes scatter around them (normal, 40 km).  Light in fibre goes
at 2/3 of its speed in vacuum.  ``access`` is log-normal, median 3 ms.  ``detour`` is 1.4 times 1 plus an
exponential excess of its own for each pair: no line is straight, and some are much worse than others, which
is what makes relays worth while.  The excess is fitted so that relays gain here what they gain between the
PlanetLab hosts of ``data/`` (the best relay path is 0.86 of the direct one in the mean, and 20 % of the pairs
gain more than 20 %); the other numbers are rough.  These worlds show how a rule scales, not how fast an
Internet is.
"""

import math
import random
from array import array

from netns_lab.simulate.chance import chance
from netns_lab.simulate.cities import CITIES
from netns_lab.simulate.delays import Delays
from netns_lab.simulate.underlay import DETOURS, Places

EARTH_KM = 6371.0
LIGHT_IN_FIBRE_KM_S = 299_792.458 * 2 / 3
SCATTER_KM = 40.0
ACCESS_MEDIAN_US, ACCESS_SIGMA = 3000.0, 0.7
DETOUR, DETOUR_MEAN_EXCESS = 1.4, 0.22


def synthetic_world(nodes: int, seed: int) -> Delays:
    """Place that many nodes; the same for the same seed."""
    rng = chance(seed, "world")
    weights = [people for *_, people in CITIES]
    places, access = array("d"), array("d")
    for _name, latitude, longitude, _people in rng.choices(CITIES, weights, k=nodes):
        places.extend(_place(latitude, longitude, rng))
        access.append(ACCESS_MEDIAN_US * rng.lognormvariate(0, ACCESS_SIGMA))
    excess = (-DETOUR_MEAN_EXCESS * math.log(1 - (k + 0.5) / DETOURS) for k in range(DETOURS))
    detours = array("d", (DETOUR * (1 + more) for more in excess))
    radian_us = 2 * EARTH_KM / LIGHT_IN_FIBRE_KM_S * 1e6
    source = Places(places, access, radian_us, detours, rng.getrandbits(64))
    return Delays("synthetic world", nodes, places=source)


def _place(latitude: float, longitude: float, rng: random.Random) -> tuple[float, float, float]:
    """A unit vector some way from a city."""
    north = math.radians(latitude) + rng.gauss(0, SCATTER_KM / EARTH_KM)
    east = math.radians(longitude) + rng.gauss(0, SCATTER_KM / EARTH_KM) / math.cos(math.radians(latitude))
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)
