/* The command line: which options there are, and what takes the value of each. */

#include "parser.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define KIND_MAX 31 /* no kind of the kernel's is half as long */
#define WAIT_DEFAULT 2000
#define WAIT_MAX 60000
#define MTU_MIN 68    /* RFC 791: the least that IPv4 works with */
#define MTU_MAX 65535 /* the kernel's ETH_MAX_MTU */

/* In the order of the table of rules. */
enum option {
    DEVICE,
    RUN_DIR,
    LINK,
    LINK_IFINDEX,
    LINK_MAC,
    LINK_PCI,
    LINK_KIND,
    CREATE,
    AS,
    MTU,
    MAC,
    ADDRESS,
    ROUTE,
    RULE,
    NEIGHBOUR,
    VRF,
    VLAN,
    VF,
    RDMA,
    SYSCTL,
    FEATURE,
    RING,
    CHANNELS,
    WAIT,
    FLAGS, /* this one and those behind it take no value */
};

/* Narrow, and without a pointer: each of those needs 24 bytes more for its relocation. */
struct rule {
    char name[13];
    uint8_t commands; /* a bit for each command that has it */
    bool repeats;
    uint16_t flag; /* where it is in the options, if it is one */
};

#define ATTACH (1U << COMMAND_ATTACH)
#define DETACH (1U << COMMAND_DETACH)
#define RECLAIM (1U << COMMAND_RECLAIM)
#define FLAG(member) offsetof(struct options, member)

static const struct rule rules[] = {
    [DEVICE] = {"device", ATTACH | DETACH | RECLAIM, false, 0},
    [RUN_DIR] = {"run-dir", ATTACH | DETACH | RECLAIM, false, 0},
    [LINK] = {"link", ATTACH, false, 0},
    [LINK_IFINDEX] = {"link-ifindex", ATTACH, false, 0},
    [LINK_MAC] = {"link-mac", ATTACH, false, 0},
    [LINK_PCI] = {"link-pci", ATTACH, false, 0},
    [LINK_KIND] = {"link-kind", ATTACH, false, 0},
    [CREATE] = {"create", ATTACH, false, 0},
    [AS] = {"as", ATTACH, false, 0},
    [MTU] = {"mtu", ATTACH, false, 0},
    [MAC] = {"mac", ATTACH, false, 0},
    [ADDRESS] = {"address", ATTACH, true, 0},
    [ROUTE] = {"route", ATTACH, true, 0},
    [RULE] = {"rule", ATTACH, true, 0},
    [NEIGHBOUR] = {"neighbour", ATTACH, true, 0},
    [VRF] = {"vrf", ATTACH, false, 0},
    [VLAN] = {"vlan", ATTACH, false, 0},
    [VF] = {"vf", ATTACH, false, 0},
    [RDMA] = {"rdma", ATTACH, false, 0},
    [SYSCTL] = {"sysctl", ATTACH, true, 0},
    [FEATURE] = {"feature", ATTACH, true, 0},
    [RING] = {"ring", ATTACH, true, 0},
    [CHANNELS] = {"channels", ATTACH, true, 0},
    [WAIT] = {"wait", ATTACH, false, 0},
    [FLAGS] = {"no-addresses", ATTACH, false, FLAG(no_addresses)},
    {"gateway", ATTACH, false, FLAG(gateway)},
    {"keep-down", ATTACH, false, FLAG(keep_down)},
    {"force", RECLAIM, false, FLAG(force)},
    {"forget", RECLAIM, false, FLAG(forget)},
};

enum { RULES = sizeof rules / sizeof rules[0] };

/* What says which link, and where the device is. */
static int take_identity(struct parser *parser, enum option option, const char *value)
{
    const struct span span = span_of(value);
    struct options *out = parser->out;

    switch (option) {
    case DEVICE:
        return take_device(parser, value);
    case RUN_DIR:
        return take_run_dir(parser, value);
    case LINK:
        return take_link_name(parser, value, &out->link);
    case LINK_IFINDEX:
        return parser_number(parser, span, 1, INT_MAX, &out->link_ifindex);
    case LINK_MAC:
        return parser_mac(parser, span, &out->link_mac);
    case LINK_PCI:
        return take_link_pci(parser, value);
    default:
        return take_plain(parser, value, KIND_MAX, "is not a kind of link (as veth or macvlan)",
                          &out->link_kind);
    }
}

static int take_value(struct parser *parser, enum option option, const char *value)
{
    const struct span span = span_of(value);
    struct options *out = parser->out;

    switch (option) {
    case CREATE:
        return take_create(parser, value);
    case AS:
        return take_as(parser, value);
    case MTU:
        return parser_number(parser, span, MTU_MIN, MTU_MAX, &out->mtu);
    case MAC:
        return take_mac(parser, value);
    case ADDRESS:
        return take_address(parser, value);
    case ROUTE:
        return take_route(parser, value);
    case RULE:
        return take_rule(parser, value);
    case NEIGHBOUR:
        return take_neighbour(parser, value);
    case VRF:
        return take_vrf(parser, value);
    case VLAN:
        return take_vlan(parser, value);
    case VF:
        return take_vf(parser, value);
    case RDMA:
        return take_plain(parser, value, RDMA_NAME_SIZE - 1, "is not an RDMA device (as mlx5_0)",
                          &out->rdma);
    case WAIT:
        return parser_number(parser, span, 0, WAIT_MAX, &out->wait_ms);
    default:
        return take_setting(parser, value, SETTING_SYSCTL - (option - SYSCTL));
    }
}

static const char commands[] = "attach detach reclaim --help --version"; /* from COMMAND_ATTACH */

static int take_command(struct parser *parser, const char *word)
{
    int found = words_find(commands, span_of(word));

    parser->out->command = (enum command)(COMMAND_ATTACH + found);
    if (found >= 0)
        return 0;
    return parser_refuse(parser, span_of(word),
                         "is not a command; there are attach, detach, reclaim");
}

/* The option that `word` names, --key or --key=value. */
static int find_option(struct parser *parser, struct span name, const char *word)
{
    for (unsigned int i = 0; i < RULES; i++) {
        if (!span_is(name, rules[i].name))
            continue;
        parser->option = rules[i].name;
        if (!(rules[i].commands & 1U << parser->out->command)) {
            parser_fail(parser, "not an option of ");
            text_put_span(&parser->error,
                          words_at(commands, parser->out->command - COMMAND_ATTACH));
            return -EINVAL;
        }
        if (parser->seen & 1U << i && !rules[i].repeats)
            return parser_fail(parser, "given twice");
        parser->seen |= 1U << i;
        return (int)i;
    }
    return parser_refuse(parser, span_of(word), "is not an option");
}

/* One option at argv[*at]; steps over it and its value. */
static int take_option(struct parser *parser, int argc, char **argv, int *at)
{
    const char *word = argv[(*at)++];
    struct span rest = span_of(word);
    bool joined = false;

    parser->option = NULL;
    if (strncmp(word, "--", 2) != 0)
        return parser_refuse(parser, rest, "is not an option");
    rest = span_of(word + 2);
    int found = find_option(parser, span_cut(&rest, '=', &joined), word);
    if (found < 0)
        return found;
    const enum option option = (enum option)found;
    if (option >= FLAGS) {
        *((bool *)parser->out + rules[option].flag) = true;
        return joined ? parser_fail(parser, "takes no value") : 0;
    }
    if (!joined && *at >= argc)
        return parser_fail(parser, "has no value");
    const char *value = joined ? rest.data : argv[(*at)++];
    return option <= LINK_KIND ? take_identity(parser, option, value)
                               : take_value(parser, option, value);
}

/* What no option can tell alone. */
static int check_together(struct parser *parser)
{
    struct options *out = parser->out;

    parser->option = NULL;
    if (out->device[0] == '\0')
        return parser_fail(parser, "--device is missing");
    if (out->command == COMMAND_ATTACH && out->link[0] == '\0')
        return parser_fail(parser, "--link is missing");
    if (out->no_addresses && out->address_count > 0)
        return parser_fail(parser, "--no-addresses and --address exclude each other");
    if (out->create.kind[0] != '\0' && out->as[0] == '\0')
        return parser_fail(parser, "--create: --as is missing");
    if (out->create.kind[0] != '\0' && (out->vf.given != 0 || out->rdma[0] != '\0'))
        return parser_fail(parser, "--create excludes --vf and --rdma");
    if (out->as[0] == '\0')
        out->as = out->link;
    return phrases_finish(parser);
}

static int parse_all(struct parser *parser, int argc, char **argv)
{
    if (argc < 2)
        return parser_fail(parser, "no command; there are attach, detach, reclaim");
    int rc = take_command(parser, argv[1]);
    bool bare = parser->out->command >= COMMAND_HELP;
    if (rc == 0 && bare && argc > 2)
        return parser_refuse(parser, span_of(argv[2]), "is too much: nothing follows it");
    for (int at = 2; rc == 0 && at < argc;)
        rc = take_option(parser, argc, argv, &at);
    return rc < 0 || bare ? rc : check_together(parser);
}

int options_parse(int argc, char **argv, struct options *out, char *error, size_t size)
{
    struct parser parser = {.out = out};

    *out = (struct options){
        .device = "",
        .run_dir = "/run/netdevice-plugin",
        .link = "",
        .link_kind = "",
        .as = "",
        .rdma = "",
        .wait_ms = WAIT_DEFAULT,
    };
    text_init(&parser.error, error, size);
    return parse_all(&parser, argc, argv);
}
