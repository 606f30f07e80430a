"""Round-trip times between well-known cities, from how far apart they are on the globe.  Pure.

A model, not a measurement: 4 ms, and 15.3 µs per km of the great circle, 1.5 times what light needs in a
straight fibre.  Against published times between 13 regions of a cloud provider (78 pairs, 2024) the ratio is
1.00 in the median, and 0.81 to 1.38 for the middle eight of ten.  Distances know no detours, so no pair gains
by a relay: for an Internet where some do, use a measured matrix.
"""

import math

BASE_MS, MS_PER_KM = 4.0, 0.0153
_EARTH_RADIUS_KM = 6371.0

# Latitude and longitude in degrees, to a hundredth.
CITIES: dict[str, tuple[float, float]] = {
    "Amsterdam": (52.37, 4.90),
    "Ashburn": (39.04, -77.49),
    "Athens": (37.98, 23.73),
    "Bangkok": (13.76, 100.50),
    "Beijing": (39.90, 116.41),
    "Bogota": (4.71, -74.07),
    "Buenos Aires": (-34.60, -58.38),
    "Cairo": (30.04, 31.24),
    "Cape Town": (-33.92, 18.42),
    "Chicago": (41.88, -87.63),
    "Dallas": (32.78, -96.80),
    "Dubai": (25.20, 55.27),
    "Dublin": (53.35, -6.26),
    "Frankfurt": (50.11, 8.68),
    "Hong Kong": (22.32, 114.17),
    "Istanbul": (41.01, 28.98),
    "Jakarta": (-6.21, 106.85),
    "Johannesburg": (-26.20, 28.05),
    "Lagos": (6.52, 3.38),
    "London": (51.51, -0.13),
    "Los Angeles": (34.05, -118.24),
    "Madrid": (40.42, -3.70),
    "Mexico City": (19.43, -99.13),
    "Miami": (25.76, -80.19),
    "Montreal": (45.50, -73.57),
    "Mumbai": (19.08, 72.88),
    "Nairobi": (-1.29, 36.82),
    "New York": (40.71, -74.01),
    "Paris": (48.86, 2.35),
    "San Francisco": (37.77, -122.42),
    "Santiago": (-33.45, -70.67),
    "Sao Paulo": (-23.55, -46.63),
    "Seattle": (47.61, -122.33),
    "Seoul": (37.57, 126.98),
    "Shanghai": (31.23, 121.47),
    "Singapore": (1.35, 103.82),
    "Stockholm": (59.33, 18.07),
    "Sydney": (-33.87, 151.21),
    "Tokyo": (35.68, 139.69),
    "Warsaw": (52.23, 21.01),
}


def distance_km(a: str, b: str) -> float:
    """The great circle between two of ``CITIES`` (haversine formula)."""
    (latitude_a, longitude_a), (latitude_b, longitude_b) = (
        (math.radians(degrees) for degrees in CITIES[city]) for city in (a, b)
    )
    haversine = (
        math.sin((latitude_b - latitude_a) / 2) ** 2
        + math.cos(latitude_a) * math.cos(latitude_b) * math.sin((longitude_b - longitude_a) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(haversine))


def rtt_ms(a: str, b: str) -> float:
    """Round-trip time between two of ``CITIES``; between two sites of one city it is ``BASE_MS``."""
    return BASE_MS + MS_PER_KM * distance_km(a, b)
