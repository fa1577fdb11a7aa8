/* Settings of a link as words: NAME=VALUE, and what each group allows of both. */

#include "settings.h"

#include <errno.h>

#define KEY_MAX 48   /* bytes; the kernel's longest is of 36 */
#define VALUE_MAX 63 /* bytes of a sysctl's value */
#define FEATURE_MAX 31 /* the kernel's ETH_GSTRING_LEN, less the NUL */
#define NUMBERS 4

/* Text, not pointers to it: in a position-independent binary those take 32 bytes each. */
const char setting_groups[][9] = {
    [SETTING_CHANNELS] = "channels", [SETTING_RING] = "ring", [SETTING_FEATURE] = "feature"};

/* In the order of struct ethtool_channels and struct ethtool_ringparam. */
static const char numbers[][NUMBERS][9] = {
    [SETTING_CHANNELS] = {"rx", "tx", "other", "combined"},
    [SETTING_RING] = {"rx", "rx-mini", "rx-jumbo", "tx"},
};

/* 1 to `most` bytes of a-z, 0-9 and one more. */
static bool is_name(struct span name, size_t most, char more)
{
    for (size_t i = 0; i < name.length; i++) {
        char byte = name.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != more)
            return false;
    }
    return name.length >= 1 && name.length <= most;
}

static bool is_sysctl(struct span name, struct span value)
{
    struct span family = span_cut(&name, '/', NULL), group = span_cut(&name, '/', NULL);

    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] < ' ' || value.data[i] > '~')
            return false;
    return (span_is(family, "ipv4") || span_is(family, "ipv6")) &&
           (span_is(group, "conf") || span_is(group, "neigh")) && is_name(name, KEY_MAX, '_') &&
           value.length >= 1 && value.length <= VALUE_MAX;
}

static int parse_number(struct span value, struct setting *out)
{
    uint64_t number;

    while (out->place < NUMBERS && !span_is(out->name, numbers[out->group][out->place]))
        out->place++;
    if (out->place == NUMBERS || parse_unsigned(value, UINT32_MAX, &number) < 0)
        return -EINVAL;
    out->number = (uint32_t)number;
    return 0;
}

int setting_parse(enum setting_group group, struct span text, struct setting *out)
{
    struct span value = text, name = span_cut(&value, '=', NULL);

    *out = (struct setting){.group = group, .text = text, .name = name};
    if (group == SETTING_SYSCTL)
        return is_sysctl(name, value) ? 0 : -EINVAL;
    if (group != SETTING_FEATURE)
        return parse_number(value, out);
    out->number = span_is(value, "on");
    return is_name(name, FEATURE_MAX, '-') && (out->number || span_is(value, "off")) ? 0 : -EINVAL;
}

int setting_parse_line(struct span line, struct setting *out)
{
    struct span group = span_cut(&line, '/', NULL);

    for (unsigned i = SETTING_CHANNELS; i <= SETTING_FEATURE; i++)
        if (span_is(group, setting_groups[i]))
            return setting_parse((enum setting_group)i, line, out);
    return -EINVAL;
}

void setting_put_line(struct text *out, const struct setting *setting, uint32_t number)
{
    text_put(out, setting_groups[setting->group]);
    text_put_char(out, '/');
    text_put_span(out, setting->name);
    text_put_char(out, '=');
    if (setting->group == SETTING_FEATURE)
        text_put(out, number ? "on" : "off");
    else
        text_put_unsigned(out, number);
}
