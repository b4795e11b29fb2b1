"""stub"""

BLIP2 = ()
INSTRUCTBLIP = ()
