"""Who is here: signs of life, who went silent, and what follows. Pure decisions.

Facts come in (presence rows, settings, the time), transitions come out; ``usecases`` write them.
"""
