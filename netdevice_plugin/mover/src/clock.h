#ifndef NDM_CLOCK_H
#define NDM_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What a clock shows, in parts of a second: 1, 1000, 1000000. */
uint64_t clock_read(clockid_t clock, unsigned unit);

#endif
