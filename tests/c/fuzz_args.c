/* Any bytes, cut at NULs, as the arguments: options that are within bounds, or one line. */
#include <string.h>

#include "args.h"
#include "fuzz.h"
#include "names.h"

#define ARGS 256

static void check_line(const char *line)
{
    MUST(line[0] != '\0');
    for (; *line != '\0'; line++)
        MUST((unsigned char)*line >= 0x20 && *line != 0x7f);
}

static void check_phrases(const struct options *options)
{
    const struct vlan_arg *vlan = &options->vlan;
    const struct vrf_arg *vrf = &options->vrf;
    const struct create_arg *create = &options->create;

    MUST(options->rule_count <= OPTIONS_RULES && options->neighbour_count <= OPTIONS_NEIGHBOURS);
    for (size_t i = 0; i < options->rule_count; i++) {
        const struct rule_arg *rule = &options->rules[i];
        MUST(rule->table > 0 && !ip_has_host_bits(&rule->from) && !ip_has_host_bits(&rule->to));
        MUST(!rule->from.family || !rule->to.family || rule->from.family == rule->to.family);
    }
    for (size_t i = 0; i < options->neighbour_count; i++)
        MUST(ip_size(&options->neighbours[i].ip) > 0);
    MUST(create->kind[0] == '\0' || (create->sort <= CREATE_VLAN && create->number <= 4094));
    MUST(vlan->id <= 4094 && (vlan->id == 0) == (vlan->protocol == 0));
    MUST(vlan->id == 0 || (is_link_name(span_of(vlan->name)) && strcmp(vlan->name, options->as)));
    MUST(vrf->table == 0 || (is_link_name(span_of(vrf->name)) && strcmp(vrf->name, options->as)));
}

/* What is asked of a VF is a phrase that asks for the same. */
static void check_vf(const struct vf_arg *vf)
{
    static char line[VF_TEXT_SIZE], second[VF_TEXT_SIZE];
    struct vf_arg again;
    struct text text;

    text_init(&text, line, sizeof line);
    vf_format(&text, vf);
    MUST(!text.cut && vf_parse(line, &again) == 0 && again.given == vf->given);
    text_init(&text, second, sizeof second);
    vf_format(&text, &again);
    MUST(strcmp(line, second) == 0);
}

static void check_attach(const struct options *options)
{
    MUST(is_link_name(span_of(options->link)));
    MUST(is_link_name(span_of(options->as)));
    MUST(options->mtu == 0 || (options->mtu >= 68 && options->mtu <= 65535));
    MUST(options->wait_ms <= 60000);
    MUST(options->address_count <= OPTIONS_ADDRESSES && options->route_count <= OPTIONS_ROUTES);
    MUST(!options->no_addresses || options->address_count == 0);
    for (size_t i = 0; i < options->address_count; i++)
        MUST(options->addresses[i].prefix <= 8 * ip_size(&options->addresses[i]));
    for (size_t i = 0; i < options->route_count; i++) {
        const struct route_arg *route = &options->routes[i];
        MUST(ip_size(&route->destination) > 0 && !ip_has_host_bits(&route->destination));
        MUST(!route->gateway.family || route->gateway.family == route->destination.family);
        MUST(!route->source.family || route->source.family == route->destination.family);
        MUST(route->table > 0);
    }
    check_phrases(options);
    check_vf(&options->vf);
}

static void check_settings(const struct options *options)
{
    static struct setting again;
    char line[64];
    struct text text;

    MUST(options->setting_count <= SETTINGS_MAX);
    for (size_t i = 0; i < options->setting_count; i++) {
        const struct setting *setting = &options->settings[i];
        if (setting->group == SETTING_SYSCTL)
            continue;
        text_init(&text, line, sizeof line);
        setting_put_line(&text, setting, setting->number);
        MUST(!text.cut && setting_parse_line((struct span){line, text.length}, &again) == 0);
        MUST(again.group == setting->group && again.place == setting->place);
        MUST(again.number == setting->number);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options;
    static char *argv[ARGS + 1];
    char error[128]; /* short, so that it is cut as well */
    char *copy = malloc(size + 1);
    int argc = 1;

    memcpy(copy, data, size);
    copy[size] = '\0';
    argv[0] = "netdevice-mover";
    for (size_t at = 0; at < size && argc < ARGS; at += strlen(copy + at) + 1)
        argv[argc++] = copy + at;
    argv[argc] = NULL;
    if (options_parse(argc, argv, &options, error, sizeof error) < 0)
        check_line(error);
    else if (options.command == COMMAND_ATTACH) {
        check_attach(&options);
        check_settings(&options);
    }
    if (error[0] == '\0' && options.command <= COMMAND_RECLAIM)
        MUST(is_device_name(span_of(options.device)) && options.run_dir[0] == '/');
    free(copy);
    return 0;
}
