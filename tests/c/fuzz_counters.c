/*
 * Any bytes as a device's counters: what is read is written alike, and always fits,
 * with one more failure as well.
 */
#include <string.h>

#include "counters.h"
#include "fuzz.h"

static char first[COUNTERS_TEXT_MAX];
static char second[COUNTERS_TEXT_MAX];
static struct counters counters;

static size_t rewrite(const char *text, size_t length, char out[COUNTERS_TEXT_MAX])
{
    struct text written;

    if (counters_parse(text, length, &counters) < 0)
        return 0;
    MUST(counters.step_count <= COUNTERS_STEPS);
    for (size_t i = 0; i < counters.step_count; i++)
        MUST(counters.steps[i].command < COUNTED);
    text_init(&written, out, COUNTERS_TEXT_MAX);
    MUST(counters_format(&counters, &written) == 0);
    return written.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct run run = {COUNTED_DETACH, OUTCOME_FAILED, 1, "bring the link home"};
    size_t length = rewrite((const char *)data, size, first);
    struct text written;

    if (length == 0)
        return 0;
    MUST(rewrite(first, length, second) == length);
    MUST(memcmp(first, second, length) == 0);
    counters_add(&counters, &run);
    text_init(&written, second, sizeof second);
    MUST(counters_format(&counters, &written) == 0);
    return 0;
}
