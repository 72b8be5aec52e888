"""A node as most are: it computes."""

import math


class Circle:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"radius": ("FLOAT", {"default": 1.0})}}

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "area"
    CATEGORY = "math"

    def area(self, radius):
        return (math.pi * getattr(self, "factor", 1) * radius**2,)


NODE_CLASS_MAPPINGS = {"Circle": Circle}
