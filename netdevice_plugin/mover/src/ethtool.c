/*
 * Features, rings and channels, by ioctl: for these ethtool's netlink family can do no
 * more, and would want its own number, strings and bitsets taken apart.
 */

#include "ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"

#define FEATURES 256 /* the kernel has some 70 */

/* ethtool_channels and ethtool_ringparam are alike: the command, four bounds, four numbers. */
enum { BOUND = 1, NUMBER = 5, WORDS = 9 };

static const struct {
    uint32_t get, set;
} commands[] = {
    [SETTING_CHANNELS] = {ETHTOOL_GCHANNELS, ETHTOOL_SCHANNELS},
    [SETTING_RING] = {ETHTOOL_GRINGPARAM, ETHTOOL_SRINGPARAM},
};

_Static_assert(sizeof(struct ethtool_ringparam) == WORDS * sizeof(uint32_t) &&
                   sizeof(struct ethtool_channels) == WORDS * sizeof(uint32_t),
               "both are words");

/* As struct ethtool_gstrings and the like are, with room behind them. */
static struct {
    uint32_t command, set, count;
    char names[FEATURES][ETH_GSTRING_LEN];
} strings;

static struct {
    uint32_t command, size;
    struct ethtool_get_features_block blocks[FEATURES / 32];
} features;

static int call(const struct ethtool *e, void *data)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, e->link, strlen(e->link));
    request.ifr_data = data;
    /* The C library's own brings 200 bytes of translations for kernels of 32 bits. */
    return syscall(SYS_ioctl, e->fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

static int change(const struct ethtool *e, void *data)
{
    step("ethtool request");
    int rc = call(e, data);
    step("ethtool answer");
    return rc;
}

/* The next setting of a group; the first one behind NULL. */
static const struct setting *next(const struct ethtool *e, enum setting_group group,
                                  const struct setting *s)
{
    for (s = s == NULL ? e->settings : s + 1; s < e->settings + e->count; s++)
        if (s->group == group)
            return s;
    return NULL;
}

#define EACH(s, e, group) \
    for (const struct setting *s = next(e, group, NULL); s != NULL; s = next(e, group, s))

/* "ring rx=512", or all of the group where the kernel does not tell which. */
static int blame(const struct ethtool *e, enum setting_group group, const struct setting *only,
                 int rc)
{
    text_put(e->why, setting_groups[group]);
    EACH(s, e, group)
    {
        if (only != NULL && only != s)
            continue;
        text_put_char(e->why, ' ');
        text_put_span(e->why, s->text);
    }
    return rc;
}

static int add_line(struct list *out, const struct setting *s, uint32_t number)
{
    char line[64];
    struct text text;

    text_init(&text, line, sizeof line);
    setting_put_line(&text, s, number);
    return list_add(out, line, text.length);
}

/* ---- rings and channels ---- */

static int get_numbers(const struct ethtool *e, enum setting_group group, uint32_t *words)
{
    words[0] = commands[group].get;
    int rc = call(e, words);
    return rc < 0 ? blame(e, group, NULL, rc) : 0;
}

static int wrong_number(const struct ethtool *e, const struct setting *s, const char *why,
                        uint32_t number)
{
    blame(e, s->group, s, 0);
    text_put(e->why, why);
    text_put_unsigned(e->why, number);
    return -EINVAL;
}

static int capture_numbers(const struct ethtool *e, enum setting_group group, struct list *out)
{
    uint32_t words[WORDS];
    int rc = get_numbers(e, group, words);

    EACH(s, e, group)
    {
        if (rc == 0 && s->number > words[BOUND + s->place])
            return wrong_number(e, s, ", where it has at most ", words[BOUND + s->place]);
        if (rc == 0)
            rc = add_line(out, s, words[NUMBER + s->place]);
    }
    return rc;
}

/* A group in one request: channels must be right together, and a NIC starts anew each time. */
static int set_numbers(const struct ethtool *e, enum setting_group group)
{
    uint32_t words[WORDS];
    bool differs = false;
    int rc = get_numbers(e, group, words);

    if (rc < 0)
        return rc;
    EACH(s, e, group)
    {
        differs |= words[NUMBER + s->place] != s->number;
        words[NUMBER + s->place] = s->number;
    }
    if (!differs)
        return 0;
    words[0] = commands[group].set;
    rc = change(e, words);
    if (rc < 0)
        return blame(e, group, NULL, rc);
    rc = get_numbers(e, group, words);
    EACH(s, e, group)
    if (rc == 0 && words[NUMBER + s->place] != s->number)
        return wrong_number(e, s, ", of which the driver makes ", words[NUMBER + s->place]);
    return rc;
}

/* ---- features ---- */

static int get_features(const struct ethtool *e)
{
    struct {
        uint32_t command, reserved;
        uint64_t sets;
        uint32_t count;
    } sets = {.command = ETHTOOL_GSSET_INFO, .sets = 1U << ETH_SS_FEATURES};

    int rc = call(e, &sets);
    if (rc == 0 && sets.count > FEATURES)
        rc = -E2BIG; /* the kernel writes as many names as it has, whatever we have room for */
    strings.command = ETHTOOL_GSTRINGS;
    strings.set = ETH_SS_FEATURES;
    strings.count = sets.count;
    if (rc == 0)
        rc = call(e, &strings);
    features.command = ETHTOOL_GFEATURES;
    features.size = FEATURES / 32;
    if (rc == 0)
        rc = call(e, &features);
    return rc < 0 ? blame(e, SETTING_FEATURE, NULL, rc) : 0;
}

static int wrong_feature(const struct ethtool *e, const struct setting *s, const char *why)
{
    blame(e, SETTING_FEATURE, s, 0);
    text_put(e->why, why);
    return -EOPNOTSUPP;
}

/* Its bit's number, or an error. */
static int find_feature(const struct ethtool *e, const struct setting *s)
{
    for (uint32_t i = 0; i < strings.count && i < FEATURES; i++) {
        const char *name = strings.names[i];
        if (span_equal(s->name, (struct span){name, strnlen(name, ETH_GSTRING_LEN)}))
            return (int)i;
    }
    return wrong_feature(e, s, ", which the kernel does not know");
}

static uint32_t bit_of(uint32_t word, int bit)
{
    return word >> (bit % 32) & 1;
}

static int capture_features(const struct ethtool *e, struct list *out)
{
    int rc = get_features(e);

    EACH(s, e, SETTING_FEATURE)
    {
        int bit = rc < 0 ? rc : find_feature(e, s);
        if (bit < 0)
            return bit;
        const struct ethtool_get_features_block *block = &features.blocks[bit / 32];
        if (bit_of(block->available, bit))
            rc = add_line(out, s, bit_of(block->requested, bit));
        else if (bit_of(block->active, bit) != s->number)
            return wrong_feature(e, s, ", which cannot be changed");
    }
    return rc;
}

/* Those that can be changed; then all must be as they should. */
static int set_features(const struct ethtool *e, bool home)
{
    struct {
        uint32_t command, size;
        struct ethtool_set_features_block blocks[FEATURES / 32];
    } wanted = {.command = ETHTOOL_SFEATURES};
    int rc = get_features(e);

    wanted.size = features.size;
    EACH(s, e, SETTING_FEATURE)
    {
        int bit = rc < 0 ? rc : find_feature(e, s);
        if (bit < 0)
            return bit;
        uint32_t mask = 1U << (bit % 32) & features.blocks[bit / 32].available;
        wanted.blocks[bit / 32].valid |= mask;
        wanted.blocks[bit / 32].requested |= s->number ? mask : 0;
    }
    rc = change(e, &wanted); /* more than 0: something is not to be had; we look for ourselves */
    if (rc < 0)
        return blame(e, SETTING_FEATURE, NULL, rc);
    rc = get_features(e);
    EACH(s, e, SETTING_FEATURE)
    {
        int bit = rc < 0 ? rc : find_feature(e, s);
        if (bit < 0)
            return bit;
        const struct ethtool_get_features_block *block = &features.blocks[bit / 32];
        if (bit_of(home ? block->requested : block->active, bit) != s->number)
            return wrong_feature(e, s, s->number ? ", which stays off" : ", which stays on");
    }
    return rc;
}

/* ---- all of them ---- */

int ethtool_capture(const struct ethtool *e, struct list *out)
{
    int rc = 0;

    for (unsigned group = SETTING_CHANNELS; rc == 0 && group <= SETTING_RING; group++)
        if (next(e, group, NULL) != NULL)
            rc = capture_numbers(e, group, out);
    if (rc == 0 && next(e, SETTING_FEATURE, NULL) != NULL)
        rc = capture_features(e, out);
    return rc;
}

int ethtool_set(const struct ethtool *e, enum setting_group group, bool home)
{
    if (next(e, group, NULL) == NULL)
        return 0;
    return group == SETTING_FEATURE ? set_features(e, home) : set_numbers(e, group);
}
