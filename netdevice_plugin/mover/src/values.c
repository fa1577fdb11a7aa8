/* Options whose values are one word each. */

#include <errno.h>
#include <string.h>

#include "names.h"
#include "parser.h"

int take_device(struct parser *parser, const char *value)
{
    if (!is_device_name(span_of(value)))
        return parser_refuse(parser, span_of(value),
                             "is not a device name (a DNS label: a-z, 0-9, '-', at most 63)");
    parser->out->device = value;
    return 0;
}

int take_run_dir(struct parser *parser, const char *value)
{
    struct span path = span_of(value);

    while (path.length > 1 && path.data[path.length - 1] == '/')
        path.length--;
    if (value[0] != '/' || path.length == 1)
        return parser_refuse(parser, span_of(value),
                             "is not the absolute path of a directory below /");
    if (span_copy(path, parser->out->run_dir, sizeof parser->out->run_dir) < 0)
        return parser_fail(parser, "longer than 1024 bytes");
    return 0;
}

int take_link_name(struct parser *parser, const char *value, const char **out)
{
    if (!is_link_name(span_of(value)))
        return parser_refuse(
            parser, span_of(value),
            "is not a link's name (1 to 15 bytes, no white space, '/', ':' or '%')");
    *out = value;
    return 0;
}

int take_as(struct parser *parser, const char *value)
{
    if (strcmp(value, "all") == 0 || strcmp(value, "default") == 0)
        return parser_refuse(parser, span_of(value),
                             "cannot name a link: the kernel's settings have it");
    return take_link_name(parser, value, &parser->out->as);
}

int take_mac(struct parser *parser, const char *value)
{
    struct mac *mac = &parser->out->mac;
    int rc = parser_mac(parser, span_of(value), mac);

    return rc < 0 ? rc : parser_host_mac(parser, span_of(value), mac);
}

int take_link_pci(struct parser *parser, const char *value)
{
    if (parse_pci(span_of(value), parser->out->link_pci) < 0)
        return parser_refuse(parser, span_of(value), "is not a PCI address (as 0000:03:00.1)");
    return 0;
}

int take_plain(struct parser *parser, const char *value, size_t most, const char *why,
               const char **out)
{
    size_t length = strlen(value);
    bool good = length >= 1 && length <= most;

    for (size_t i = 0; i < length; i++)
        good = good && value[i] > ' ' && value[i] < 0x7f;
    *out = value;
    return good ? 0 : parser_refuse(parser, span_of(value), why);
}

int take_address(struct parser *parser, const char *value)
{
    struct options *out = parser->out;

    if (out->address_count == OPTIONS_ADDRESSES)
        return parser_fail(parser, "more than 64");
    struct ip *ip = &out->addresses[out->address_count];
    if (parse_cidr(span_of(value), ip) < 0)
        return parser_refuse(parser, span_of(value),
                             "is not an address with its prefix length (as 192.0.2.1/24)");
    if (ip_is_unspecified(ip) || ip_is_multicast(ip))
        return parser_refuse(parser, span_of(value), "is not an address that a link can have");
    out->address_count++;
    return 0;
}

int take_setting(struct parser *parser, const char *value, enum setting_group group)
{
    static const char *const forms[] = {
        [SETTING_CHANNELS] = "is not rx, tx, other or combined, '=' and a number",
        [SETTING_RING] = "is not rx, rx-mini, rx-jumbo or tx, '=' and a number",
        [SETTING_FEATURE] = "is not a feature, as the kernel calls it, '=' and on or off",
        [SETTING_SYSCTL] = "is not a link's setting (as ipv4/conf/rp_filter=2)",
    };
    struct options *out = parser->out;

    if (out->setting_count == SETTINGS_MAX)
        return parser_fail(parser, "more than 256 settings");
    struct setting *setting = &out->settings[out->setting_count];
    if (setting_parse(group, span_of(value), setting) < 0)
        return parser_refuse(parser, span_of(value), forms[group]);
    for (const struct setting *one = out->settings; one < setting; one++)
        if (one->group == group && span_equal(one->name, setting->name))
            return parser_refuse(parser, setting->name, "is there twice");
    out->setting_count++;
    return 0;
}
