WARDROBE_VERSION = 1


def write_wardrobe(*a, **k):
    raise SystemExit("not yet")
