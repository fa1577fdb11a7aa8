#ifndef NDM_SETTINGS_H
#define NDM_SETTINGS_H

#include <stdint.h>

#include "text.h"

#define SETTINGS_MAX 256 /* of all groups together */

/*
 * What --sysctl, --feature, --ring and --channels ask for, and what a record keeps of
 * the last three. No system call here.
 */
enum setting_group { SETTING_CHANNELS, SETTING_RING, SETTING_FEATURE, SETTING_SYSCTL };

struct setting {
    enum setting_group group;
    struct span text; /* "rx=512", "ipv4/conf/rp_filter=2" */
    struct span name; /* what stands before its '=' */
    uint32_t number;  /* of a feature 1 for on; not of a sysctl */
    size_t place;     /* among a ring's or channels' names, from 0 */
};

/* -EINVAL: not of that group's form. The spans are of `text`. */
int setting_parse(enum setting_group group, struct span text, struct setting *out);

/* A line of a record, "ring/rx=512". Sysctls are not recorded so. */
int setting_parse_line(struct span line, struct setting *out);
/* The same setting with another number, as such a line. */
void setting_put_line(struct text *out, const struct setting *setting, uint32_t number);

extern const char setting_groups[][9]; /* "ring" */

#endif
