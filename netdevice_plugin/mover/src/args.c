/* The command line: one table of options, one function for each kind of value. */

#include "parser.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "names.h"

#define KIND_MAX 31 /* no kind of the kernel's is half as long */
#define WAIT_DEFAULT 2000
#define WAIT_MAX 60000
#define MTU_MIN 68    /* RFC 791: the least that IPv4 works with */
#define MTU_MAX 65535 /* the kernel's ETH_MAX_MTU */

const char options_help[] =
    "Usage:\n"
    "  netdevice-mover attach  --device NAME --link NAME [OPTION]...   < OCI state\n"
    "  netdevice-mover detach  --device NAME [--run-dir DIR]           < OCI state\n"
    "  netdevice-mover reclaim --device NAME [--force] [--forget] [--run-dir DIR]\n"
    "  netdevice-mover --version | --help\n"
    "\n"
    "Lends a host's network link to a container, and brings it home as it was.\n"
    "Container runtimes run attach and detach as OCI hooks (createRuntime, poststop).\n"
    "\n"
    "  --device NAME      the device's name: names its record, lock and pin\n"
    "  --run-dir DIR      where records live (default /run/netdevice-plugin)\n"
    "\n"
    "Which link (attach):\n"
    "  --link NAME        its name on the host\n"
    "  --link-ifindex N   its index; tells apart links that are otherwise alike\n"
    "  --link-mac MAC     its permanent MAC address, else its MAC address\n"
    "  --link-pci BDF     its PCI address, 0000:03:00.1\n"
    "  --link-kind KIND   its kind (veth, macvlan, ...); not for hardware\n"
    "  --create LINK      make a link on that one, which stays: 'macvlan mode MODE',\n"
    "                     'ipvlan mode MODE [flag FLAG]' or\n"
    "                     'vlan id ID [protocol 802.1q|802.1ad]'\n"
    "\n"
    "How it is in the pod (attach):\n"
    "  --as NAME          its name (default: as on the host)\n"
    "  --mtu N            its MTU\n"
    "  --mac MAC          its MAC address\n"
    "  --address CIDR     an address instead of all the host's; may be repeated\n"
    "  --no-addresses     no address and no inherited route\n"
    "  --route ROUTE      a route instead of the inherited ones; may be repeated:\n"
    "                     'DEST [via GATEWAY] [src ADDRESS] [metric N] [table N]\n"
    "                     [scope global|link|host] [onlink]'\n"
    "  --gateway          its default routes replace the pod's, while it is there\n"
    "  --rule RULE        a policy rule; may be repeated: '[from CIDR] [to CIDR]\n"
    "                     [fwmark N[/MASK]] [iif self] [oif self] table N\n"
    "                     [priority N]'\n"
    "  --neighbour ENTRY  'IP lladdr MAC' or 'proxy IP'; may be repeated\n"
    "  --vrf VRF          'NAME table N': the VRF that it is a port of\n"
    "  --vlan VLAN        'ID [name NAME] [protocol 802.1q|802.1ad]': a VLAN on it,\n"
    "                     which gets all that is asked for, the link nothing\n"
    "  --vf SETTINGS      of a virtual function: '[mac MAC] [vlan ID] [qos N]\n"
    "                     [protocol 802.1q|802.1ad] [min-tx-rate N] [max-tx-rate N]\n"
    "                     [spoofchk on|off] [link-state auto|enable|disable]\n"
    "                     [trust on|off]'\n"
    "  --rdma NAME        its RDMA device, which goes with it\n"
    "  --sysctl SETTING   a setting, as ipv4/conf/rp_filter=2; may be repeated\n"
    "  --feature FEATURE  an offload, as rx-gro=on; may be repeated\n"
    "  --ring RING        a ring's size, as rx=512; may be repeated\n"
    "  --channels COUNT   how many channels, as combined=2; may be repeated\n"
    "  --keep-down        leave it down if it was down on the host\n"
    "  --wait MS          how long to wait for a live holder to end (default 2000)\n"
    "\n"
    "Bringing home by hand (reclaim):\n"
    "  --force            take the link from a live holder\n"
    "  --forget           drop the record of a link that is lost\n"
    "\n"
    "Exit codes: 0 done; 1 failed, everything undone; 2 wrong arguments or OCI\n"
    "state; 3 the device is held by another live container; 4 the link is lost.\n";

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

int parser_fail(struct parser *parser, const char *why)
{
    if (parser->rule != NULL) { /* a record has none */
        text_put(&parser->error, "--");
        text_put(&parser->error, parser->rule->name);
        text_put(&parser->error, ": ");
    }
    text_put(&parser->error, why);
    return -EINVAL;
}

int parser_refuse(struct parser *parser, struct span value, const char *why)
{
    parser_fail(parser, "");
    text_put_quoted(&parser->error, value);
    text_put_char(&parser->error, ' ');
    text_put(&parser->error, why);
    return -EINVAL;
}

/* The same without an option to blame. */
static int refuse_word(struct text *error, struct span word, const char *why)
{
    text_put_quoted(error, word);
    text_put_char(error, ' ');
    text_put(error, why);
    return -EINVAL;
}

int parser_number(struct parser *parser, struct span value, uint32_t least, uint32_t most,
                  uint32_t *out)
{
    uint64_t number = 0;

    if (parse_unsigned(value, most, &number) == 0 && number >= least) {
        *out = (uint32_t)number;
        return 0;
    }
    parser_refuse(parser, value, "is not a number from ");
    text_put_unsigned(&parser->error, least);
    text_put(&parser->error, " to ");
    text_put_unsigned(&parser->error, most);
    return -EINVAL;
}

static int take_device(struct parser *parser, const char *value)
{
    if (!is_device_name(span_of(value)))
        return parser_refuse(parser, span_of(value),
                             "is not a device name (a DNS label: a-z, 0-9, '-', at most 63)");
    parser->out->device = value;
    return 0;
}

static int take_run_dir(struct parser *parser, const char *value)
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

static int take_link_name(struct parser *parser, const char *value, const char **out)
{
    if (!is_link_name(span_of(value)))
        return parser_refuse(
            parser, span_of(value),
            "is not a link's name (1 to 15 bytes, no white space, '/', ':' or '%')");
    *out = value;
    return 0;
}

static int take_as(struct parser *parser, const char *value)
{
    if (strcmp(value, "all") == 0 || strcmp(value, "default") == 0)
        return parser_refuse(parser, span_of(value),
                             "cannot name a link: the kernel's settings have it");
    return take_link_name(parser, value, &parser->out->as);
}

int parser_mac(struct parser *parser, struct span value, struct mac *out)
{
    if (parse_mac(value, out) < 0)
        return parser_refuse(parser, value,
                             "is not a MAC address (as 02:00:00:00:00:01, at most 32 bytes)");
    return 0;
}

int parser_host_mac(struct parser *parser, struct span value, const struct mac *mac)
{
    static const uint8_t zeros[6];

    if (mac->length != sizeof zeros ||
        !(mac->bytes[0] & 1 || memcmp(mac->bytes, zeros, sizeof zeros) == 0))
        return 0;
    return parser_refuse(parser, value, "is not the address of one host (multicast or zero)");
}

static int take_mac(struct parser *parser, const char *value)
{
    struct mac *mac = &parser->out->mac;
    int rc = parser_mac(parser, span_of(value), mac);

    return rc < 0 ? rc : parser_host_mac(parser, span_of(value), mac);
}

static int take_link_pci(struct parser *parser, const char *value)
{
    if (parse_pci(span_of(value), parser->out->link_pci) < 0)
        return parser_refuse(parser, span_of(value), "is not a PCI address (as 0000:03:00.1)");
    return 0;
}

/* A word of the kernel's own making. */
static int take_plain(struct parser *parser, const char *value, size_t most, const char *why,
                      const char **out)
{
    size_t length = strlen(value);
    bool good = length >= 1 && length <= most;

    for (size_t i = 0; i < length; i++)
        good = good && value[i] > ' ' && value[i] < 0x7f;
    *out = value;
    return good ? 0 : parser_refuse(parser, span_of(value), why);
}

static int take_address(struct parser *parser, const char *value)
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

/* ---- settings ---- */

static int take_setting(struct parser *parser, const char *value, enum setting_group group)
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
        if (one->group == group && one->name.length == setting->name.length &&
            memcmp(one->name.data, setting->name.data, one->name.length) == 0)
            return parser_refuse(parser, setting->name, "is there twice");
    out->setting_count++;
    return 0;
}

/* ---- the command line ---- */

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
    return refuse_word(&parser->error, span_of(word),
                       "is not a command; there are attach, detach, reclaim");
}

/* Sets parser->rule to the option that `word` names, --key or --key=value. */
static int find_rule(struct parser *parser, struct span name, const char *word)
{
    for (unsigned int i = 0; i < RULES; i++) {
        if (!span_is(name, rules[i].name))
            continue;
        parser->rule = &rules[i];
        if (!(rules[i].commands & 1U << parser->out->command)) {
            parser_fail(parser, "not an option of ");
            text_put_span(&parser->error,
                          words_at(commands, parser->out->command - COMMAND_ATTACH));
            return -EINVAL;
        }
        if (parser->seen & 1U << i && !rules[i].repeats)
            return parser_fail(parser, "given twice");
        parser->seen |= 1U << i;
        return 0;
    }
    return refuse_word(&parser->error, span_of(word), "is not an option");
}

/* One option at argv[*at]; steps over it and its value. */
static int take_option(struct parser *parser, int argc, char **argv, int *at)
{
    const char *word = argv[(*at)++];
    struct span rest = span_of(word);
    bool joined = false;

    if (strncmp(word, "--", 2) != 0)
        return refuse_word(&parser->error, rest, "is not an option");
    rest = span_of(word + 2);
    int rc = find_rule(parser, span_cut(&rest, '=', &joined), word);
    if (rc < 0)
        return rc;
    const enum option option = (enum option)(parser->rule - rules);
    if (option >= FLAGS) {
        *((bool *)parser->out + parser->rule->flag) = true;
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

    if (out->device[0] == '\0') {
        text_put(&parser->error, "--device is missing");
        return -EINVAL;
    }
    if (out->command == COMMAND_ATTACH && out->link[0] == '\0') {
        text_put(&parser->error, "--link is missing");
        return -EINVAL;
    }
    if (out->no_addresses && out->address_count > 0) {
        text_put(&parser->error, "--no-addresses and --address exclude each other");
        return -EINVAL;
    }
    if (out->create.kind[0] != '\0' && out->as[0] == '\0') {
        text_put(&parser->error, "--create: --as is missing");
        return -EINVAL;
    }
    if (out->create.kind[0] != '\0' && (out->vf.given != 0 || out->rdma[0] != '\0')) {
        text_put(&parser->error, "--create excludes --vf and --rdma");
        return -EINVAL;
    }
    if (out->as[0] == '\0')
        out->as = out->link;
    return phrases_finish(parser);
}

static int parse_all(struct parser *parser, int argc, char **argv)
{
    if (argc < 2) {
        text_put(&parser->error, "no command; there are attach, detach, reclaim");
        return -EINVAL;
    }
    int rc = take_command(parser, argv[1]);
    bool bare = parser->out->command >= COMMAND_HELP;
    if (rc == 0 && bare && argc > 2)
        return refuse_word(&parser->error, span_of(argv[2]), "is too much: nothing follows it");
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
