/*
 * Runs the mover's parsers for the Python tests, as one process for many inputs.
 *
 * A request is a line "NAME LENGTH" and LENGTH bytes; the answer is lines
 * "KEY VALUE", every value that is text in hex, and an empty line. The bytes
 * lie in a heap block of exactly that length, so that ASan sees a byte read too far.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "args.h"
#include "counters.h"
#include "names.h"
#include "ocistate.h"
#include "text.h"

static void say_number(const char *key, unsigned long long number)
{
    printf("%s %llu\n", key, number);
}

static void say_bytes(const char *key, const void *bytes, size_t length)
{
    printf("%s ", key);
    for (size_t i = 0; i < length; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
    putchar('\n');
}

static void say_text(const char *key, const char *text)
{
    say_bytes(key, text, strlen(text));
}

static void say_result(int rc)
{
    printf("rc %d\n", rc);
}

static void say_ip(const char *key, const struct ip *ip)
{
    char buffer[64];
    struct text text;

    text_init(&text, buffer, sizeof buffer);
    text_put_ip(&text, ip);
    if (ip->family != 0) {
        text_put_char(&text, '/');
        text_put_unsigned(&text, ip->prefix);
    }
    say_text(key, buffer);
}

static void say_mac(const char *key, const struct mac *mac)
{
    char buffer[3 * MAC_MAX + 1];
    struct text text;

    text_init(&text, buffer, sizeof buffer);
    text_put_mac(&text, mac);
    say_text(key, buffer);
}

static void run_state(struct span input)
{
    static struct oci_state state;
    struct parse_error error;
    int rc = oci_state_parse(input.data, input.length, &state, &error);

    say_result(rc);
    say_number("offset", error.offset);
    say_text("what", error.what ? error.what : "");
    say_text("id", state.id);
    say_number("pid", (unsigned int)state.pid);
    say_text("bundle", state.bundle);
    say_text("pod_name", state.pod_name);
    say_text("pod_namespace", state.pod_namespace);
    say_text("pod_uid", state.pod_uid);
    say_text("container", state.container);
}

static void say_route(const struct route_arg *route)
{
    say_text("route.text", route->text);
    say_ip("route.destination", &route->destination);
    say_ip("route.gateway", &route->gateway);
    say_ip("route.source", &route->source);
    say_number("route.metric", route->metric);
    say_number("route.table", route->table);
    say_number("route.scope", route->scope);
    say_number("route.onlink", route->onlink);
}

static void say_rule(const struct rule_arg *rule)
{
    say_ip("rule.from", &rule->from);
    say_ip("rule.to", &rule->to);
    say_number("rule.mark", rule->mark);
    say_number("rule.mask", rule->mask);
    say_number("rule.iif", rule->iif);
    say_number("rule.oif", rule->oif);
    say_number("rule.table", rule->table);
    say_number("rule.priority", rule->priority);
}

static void say_neighbour(const struct neighbour_arg *neighbour)
{
    say_ip("neighbour.ip", &neighbour->ip);
    say_mac("neighbour.mac", &neighbour->mac);
}

static void say_setting(const struct setting *setting)
{
    char line[64] = "";
    struct text text;

    text_init(&text, line, sizeof line);
    if (setting->group == SETTING_SYSCTL)
        text_put_span(&text, setting->text);
    else
        setting_put_line(&text, setting, setting->number);
    say_text("setting", line);
    say_number("setting.place", setting->place);
}

static void say_options(const struct options *options)
{
    say_number("command", options->command);
    say_text("device", options->device);
    say_text("run_dir", options->run_dir);
    say_text("link", options->link);
    say_number("link_ifindex", options->link_ifindex);
    say_mac("link_mac", &options->link_mac);
    say_text("link_pci", options->link_pci);
    say_text("link_kind", options->link_kind);
    say_text("as", options->as);
    say_number("mtu", options->mtu);
    say_mac("mac", &options->mac);
    say_number("no_addresses", options->no_addresses);
    say_number("keep_down", options->keep_down);
    say_number("wait_ms", options->wait_ms);
    say_number("force", options->force);
    say_number("forget", options->forget);
    for (size_t i = 0; i < options->address_count; i++)
        say_ip("address", &options->addresses[i]);
    for (size_t i = 0; i < options->route_count; i++)
        say_route(&options->routes[i]);
    say_number("gateway", options->gateway);
    for (size_t i = 0; i < options->rule_count; i++)
        say_rule(&options->rules[i]);
    for (size_t i = 0; i < options->neighbour_count; i++)
        say_neighbour(&options->neighbours[i]);
    say_text("vrf.name", options->vrf.name);
    say_number("vrf.table", options->vrf.table);
    struct text vf;
    char words[VF_TEXT_SIZE];
    text_init(&vf, words, sizeof words);
    vf_format(&vf, &options->vf);
    say_text("vf", words);
    say_text("rdma", options->rdma);
    say_text("create.kind", options->create.kind);
    say_number("create.number", options->create.number);
    say_number("create.flag", options->create.flag);
    say_number("vlan.id", options->vlan.id);
    say_text("vlan.name", options->vlan.name);
    say_number("vlan.protocol", options->vlan.protocol);
    for (size_t i = 0; i < options->setting_count; i++)
        say_setting(&options->settings[i]);
}

/* Arguments are separated by NUL; the program's name is put before them. */
static void run_options(struct span input)
{
    static struct options options;
    static char *argv[512];
    char error[256];
    int argc = 1;
    char *copy = malloc(input.length + 1);

    memcpy(copy, input.data, input.length);
    copy[input.length] = '\0';
    argv[0] = "netdevice-mover";
    for (size_t at = 0; at < input.length && argc < 511; at += strlen(copy + at) + 1)
        argv[argc++] = copy + at;
    argv[argc] = NULL;
    int rc = options_parse(argc, argv, &options, error, sizeof error);
    say_result(rc);
    say_text("error", error);
    if (rc == 0)
        say_options(&options);
    free(copy);
}

typedef void put_fn(struct text *text, struct span value);

/* Written into room for `size`: the first word of the input, a number. */
static void run_put(struct span input, put_fn *put)
{
    struct text text;
    size_t size = strtoul(input.data, NULL, 10);
    char *buffer = malloc(size);

    span_cut(&input, ' ', NULL);
    text_init(&text, buffer, size);
    put(&text, input);
    say_number("cut", text.cut);
    say_number("length", text.length);
    say_text("text", buffer);
    free(buffer);
}

static void run_escaped(struct span input)
{
    run_put(input, text_put_escaped);
}

static void run_word(struct span input)
{
    run_put(input, text_put_word);
}

static void run_quoted(struct span input)
{
    run_put(input, text_put_quoted);
}

static void run_plain(struct span input)
{
    run_put(input, text_put_span);
}

static void run_unescape(struct span input)
{
    size_t size = strtoul(input.data, NULL, 10);
    char *out = malloc(size);

    span_cut(&input, ' ', NULL);
    int rc = text_unescape(input, out, size);
    say_result(rc);
    if (rc == 0)
        say_text("text", out);
    free(out);
}

static void run_copy(struct span input)
{
    size_t size = strtoul(input.data, NULL, 10);
    char *out = malloc(size);

    span_cut(&input, ' ', NULL);
    int rc = span_copy(input, out, size);
    say_result(rc);
    if (rc == 0)
        say_text("text", out);
    free(out);
}

static void run_cut(struct span input)
{
    bool found;
    struct span head = span_cut(&input, ' ', &found);

    say_number("found", found);
    say_bytes("head", head.data, head.length);
    say_bytes("rest", input.data, input.length);
}

/* "MAXIMUM NUMBER"; also prints the number back. */
static void run_unsigned(struct span input)
{
    char buffer[32];
    struct text text;
    uint64_t number;
    uint64_t maximum = strtoull(input.data, NULL, 10);

    span_cut(&input, ' ', NULL);
    int rc = parse_unsigned(input, maximum, &number);
    say_result(rc);
    if (rc < 0)
        return;
    text_init(&text, buffer, sizeof buffer);
    text_put_unsigned(&text, number);
    say_number("number", number);
    say_text("text", buffer);
}

static void run_hex(struct span input)
{
    uint8_t bytes[16];
    char buffer[2 * sizeof bytes + 1];
    struct text text;
    size_t length;
    int rc = parse_hex(input, bytes, sizeof bytes, &length);

    say_result(rc);
    if (rc < 0)
        return;
    text_init(&text, buffer, sizeof buffer);
    text_put_hex(&text, bytes, length);
    say_text("text", buffer);
}

static void run_mac(struct span input)
{
    struct mac mac = {0};

    say_result(parse_mac(input, &mac));
    say_number("length", mac.length);
    say_mac("text", &mac);
}

static void run_ip(struct span input)
{
    struct ip ip = {0};

    say_result(parse_ip(input, &ip));
    say_ip("text", &ip);
}

static void run_cidr(struct span input)
{
    struct ip ip = {0};

    say_result(parse_cidr(input, &ip));
    say_ip("text", &ip);
    say_number("host_bits", ip_has_host_bits(&ip));
}

static void run_pci(struct span input)
{
    char out[PCI_ADDRESS_SIZE] = "";

    say_result(parse_pci(input, out));
    say_text("text", out);
}

static void run_names(struct span input)
{
    say_number("device", is_device_name(input));
    say_number("link", is_link_name(input));
    say_number("container", is_container_id(input));
}

/* A file's text, and before it a line with a run to add: "COMMAND OUTCOME MICROSECONDS STEP". */
static void run_counters(struct span input)
{
    static struct counters counters;
    static char buffer[COUNTERS_TEXT_MAX], step[256];
    struct span line = span_cut(&input, '\n', NULL);
    uint64_t numbers[3];
    struct text text;

    for (size_t i = 0; i < 3; i++)
        parse_unsigned(span_cut(&line, ' ', NULL), UINT64_MAX, &numbers[i]);
    span_copy(line, step, sizeof step);
    say_result(counters_parse(input.data, input.length, &counters));
    counters_add(&counters, &(struct run){(enum counted)numbers[0], (enum outcome)numbers[1],
                                          numbers[2], step});
    text_init(&text, buffer, sizeof buffer);
    say_number("cut", counters_format(&counters, &text) < 0);
    say_text("text", buffer);
}

static void run_help(struct span input)
{
    (void)input;
    say_text("text", options_help);
}

static const struct {
    const char *name;
    void (*run)(struct span input);
} runs[] = {
    {"state", run_state},
    {"options", run_options},
    {"escaped", run_escaped},
    {"word", run_word},
    {"quoted", run_quoted},
    {"plain", run_plain},
    {"unescape", run_unescape},
    {"copy", run_copy},
    {"cut", run_cut},
    {"unsigned", run_unsigned},
    {"hex", run_hex},
    {"mac", run_mac},
    {"ip", run_ip},
    {"cidr", run_cidr},
    {"pci", run_pci},
    {"names", run_names},
    {"counters", run_counters},
    {"help", run_help},
};

static bool answer(const char *name, struct span input)
{
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        if (strcmp(name, runs[i].name) == 0) {
            runs[i].run(input);
            putchar('\n');
            return fflush(stdout) == 0;
        }
    }
    return false;
}

int main(void)
{
    char name[32];
    size_t length;

    while (scanf("%31s %zu", name, &length) == 2 && getchar() == '\n') {
        char *bytes = malloc(length > 0 ? length : 1);
        bool good =
            fread(bytes, 1, length, stdin) == length && answer(name, (struct span){bytes, length});
        free(bytes);
        if (!good)
            return 1;
    }
    return 0;
}
