"""Where threads wait for each other inside compiled code: to go back to Python and be woken there takes some 50 microseconds."""

import os

from numba import njit, types
from numba.extending import intrinsic

from .options import INNER

LOOKS = 2000  # half a millisecond or so, giving way to others; then the thread sleeps between looks
WINDOWS = os.name == "nt"
NAP = 1 if WINDOWS else 50  # milliseconds there, else microseconds
let_others = types.ExternalFunction("SwitchToThread" if WINDOWS else "sched_yield", types.int32())
nap = types.ExternalFunction("Sleep" if WINDOWS else "usleep", types.int32(types.uint32))


@intrinsic
def fence(typing):
    """What was written before it is seen by other threads before what is written after it; and so for what is read."""

    def code(context, builder, sig, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


@njit(**INNER)
def meet(arrived, thread):
    """Waits until all threads have come here -> whether they have.

    arrived: that of `backend.Team.run`, [threads, .], where a thread that ended before it came has -1.
    """
    fence()
    arrived[thread, 0] = 1
    for other in range(len(arrived)):
        looks = 0
        fence()
        while arrived[other, 0] == 0:
            if looks < LOOKS:
                let_others()
            else:
                nap(NAP)
            looks += 1
            fence()
        if arrived[other, 0] < 0:
            return False
    return True
