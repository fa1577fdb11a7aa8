#ifndef NDM_COUNTERS_H
#define NDM_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define COUNTERS_STEPS 32
#define COUNTERS_STEP_SIZE 96
#define COUNTERS_TIMES 12
#define COUNTERS_TEXT_MAX 8192 /* bytes of a file */

enum counted { COUNTED_ATTACH, COUNTED_DETACH, COUNTED_RECLAIM, COUNTED };
enum outcome { OUTCOME_MOVED, OUTCOME_IDLE, OUTCOME_FAILED, OUTCOMES };

/* What came of one run. */
struct run {
    enum counted command;
    enum outcome outcome;
    uint64_t microseconds;
    const char *step; /* that failed; "" if none did */
};

/* All runs for one device since the node started, docs/reference/mover.md. */
struct counters {
    struct tally {
        uint64_t runs[OUTCOMES];
        uint64_t microseconds;          /* of those that moved the link, as are the times */
        uint64_t times[COUNTERS_TIMES]; /* how many took how long; the bounds are the contract's */
    } tallies[COUNTED];
    size_t step_count;
    struct failed_step {
        enum counted command;
        uint64_t count;
        char step[COUNTERS_STEP_SIZE];
    } steps[COUNTERS_STEPS]; /* of a step too many only its tally knows */
};

void counters_add(struct counters *counters, const struct run *run);

/* -ENOBUFS when it does not fit, which it always does in COUNTERS_TEXT_MAX. */
int counters_format(const struct counters *counters, struct text *out);

/* -EINVAL for what we did not write ourselves. */
int counters_parse(const char *text, size_t length, struct counters *out);

/*
 * Adds a run to the device's file, in which nothing else may be at work. A file that
 * cannot be understood is begun anew: to who reads counters that is a reset.
 */
int counters_update(const char *directory, const char *device, const struct run *run);

#endif
