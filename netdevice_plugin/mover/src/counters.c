/* What all runs for a device came to: counted by the mover, as nobody else sees each of them. */

#include "counters.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "files.h"

static const char *const commands[COUNTED] = {"attach", "detach", "reclaim"};

/* Upper bounds in microseconds; the last count is of what took longer. */
static const uint64_t bounds[COUNTERS_TIMES - 1] = {1000,  2500,   5000,   7500,    10000,  25000,
                                                    50000, 100000, 250000, 1000000, 2500000};

static void add_step(struct counters *counters, const struct run *run)
{
    struct failed_step *failed = counters->steps;
    const struct failed_step *end = failed + counters->step_count;
    struct text text;

    while (failed < end &&
           (failed->command != run->command || strcmp(failed->step, run->step) != 0))
        failed++;
    if (failed == counters->steps + COUNTERS_STEPS)
        return;
    if (failed == end) {
        counters->step_count++;
        failed->command = run->command;
        failed->count = 0;
        text_init(&text, failed->step, sizeof failed->step);
        text_put(&text, run->step);
    }
    failed->count++;
}

void counters_add(struct counters *counters, const struct run *run)
{
    struct tally *tally = &counters->tallies[run->command];
    size_t i = 0;

    tally->runs[run->outcome]++;
    if (run->outcome == OUTCOME_FAILED)
        add_step(counters, run);
    if (run->outcome != OUTCOME_MOVED)
        return;
    while (i < COUNTERS_TIMES - 1 && run->microseconds > bounds[i])
        i++;
    tally->times[i]++;
    tally->microseconds += run->microseconds;
}

/* ---------------------------------------------------------------------- text */

static void put_numbers(struct text *out, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_put_char(out, ' ');
        text_put_unsigned(out, numbers[i]);
    }
}

int counters_format(const struct counters *counters, struct text *out)
{
    text_put(out, "format=1\n");
    for (size_t i = 0; i < COUNTED; i++) {
        const struct tally *tally = &counters->tallies[i];
        text_put(out, "runs=");
        text_put(out, commands[i]);
        put_numbers(out, tally->runs, OUTCOMES);
        text_put(out, "\ntimes=");
        text_put(out, commands[i]);
        put_numbers(out, &tally->microseconds, 1);
        put_numbers(out, tally->times, COUNTERS_TIMES);
        text_put_char(out, '\n');
    }
    for (size_t i = 0; i < counters->step_count; i++) {
        const struct failed_step *failed = &counters->steps[i];
        text_put(out, "failed=");
        text_put(out, commands[failed->command]);
        put_numbers(out, &failed->count, 1);
        text_put_char(out, ' ');
        text_put(out, failed->step);
        text_put_char(out, '\n');
    }
    return out->cut ? -ENOBUFS : 0;
}

static int parse_command(struct span word, enum counted *out)
{
    for (size_t i = 0; i < COUNTED; i++) {
        if (span_is(word, commands[i])) {
            *out = (enum counted)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_numbers(struct span *rest, uint64_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = parse_unsigned(span_cut(rest, ' ', NULL), UINT64_MAX, &out[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_step(struct span rest, enum counted command, struct counters *out)
{
    if (out->step_count == COUNTERS_STEPS)
        return -ENOBUFS;
    struct failed_step *failed = &out->steps[out->step_count++];
    failed->command = command;
    int rc = parse_numbers(&rest, &failed->count, 1);
    return rc < 0 ? rc : span_copy(rest, failed->step, sizeof failed->step);
}

static int parse_line(struct span rest, size_t number, struct counters *out)
{
    struct span key = span_cut(&rest, '=', NULL);
    enum counted command;

    if (number == 1)
        return span_is(key, "format") && span_is(rest, "1") ? 0 : -EINVAL;
    if (parse_command(span_cut(&rest, ' ', NULL), &command) < 0)
        return -EINVAL;
    struct tally *tally = &out->tallies[command];
    if (span_is(key, "failed"))
        return parse_step(rest, command, out);
    int rc = -EINVAL;
    if (span_is(key, "runs"))
        rc = parse_numbers(&rest, tally->runs, OUTCOMES);
    else if (span_is(key, "times")) {
        rc = parse_numbers(&rest, &tally->microseconds, 1);
        if (rc == 0)
            rc = parse_numbers(&rest, tally->times, COUNTERS_TIMES);
    }
    return rc == 0 && rest.length > 0 ? -EINVAL : rc;
}

int counters_parse(const char *text, size_t length, struct counters *out)
{
    struct span rest = {text, length};
    size_t number = 0;
    bool ended = true;

    memset(out, 0, sizeof *out);
    while (rest.length > 0) {
        struct span line = span_cut(&rest, '\n', &ended);
        if (!ended || parse_line(line, ++number, out) < 0)
            return -EINVAL;
    }
    return number > 0 ? 0 : -EINVAL;
}

/* ---------------------------------------------------------------------- the file */

int counters_update(const char *directory, const char *device, const struct run *run)
{
    static struct counters counters;
    static char buffer[COUNTERS_TEXT_MAX];
    char path[PATH_SIZE];
    struct text text;

    path_join(path, directory, "counters", device);
    ssize_t size = read_file(path, buffer, sizeof buffer);
    if (size < 0 || counters_parse(buffer, (size_t)size, &counters) < 0)
        memset(&counters, 0, sizeof counters);
    counters_add(&counters, run);
    text_init(&text, buffer, sizeof buffer);
    int rc = counters_format(&counters, &text);
    if (rc == 0)
        rc = replace_file(path, text.data, text.length);
    if (rc != -ENOENT)
        return rc;
    path_join(path, directory, "counters", "");
    rc = make_directories(path);
    path_join(path, directory, "counters", device);
    return rc < 0 ? rc : replace_file(path, text.data, text.length);
}
