/* Options whose values are phrases, in the words of iproute2: routes, rules, neighbours. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "parser.h"

#define TABLE_MAIN 254

static int take_host(struct parser *parser, struct span word, struct ip *out)
{
    if (parse_ip(word, out) < 0)
        return parser_refuse(parser, word, "is not an IP address");
    if (ip_is_unspecified(out) || ip_is_multicast(out))
        return parser_refuse(parser, word, "is not the address of one host");
    return 0;
}

static int take_network(struct parser *parser, struct span word, const char *why, struct ip *out)
{
    if (parse_cidr(word, out) < 0 && parse_ip(word, out) < 0)
        return parser_refuse(parser, word, why);
    if (ip_has_host_bits(out))
        return parser_refuse(parser, word, "is no network: it has bits beyond its prefix length");
    return 0;
}

/* ---- routes ---- */

static int take_scope(struct phrase *phrase, uint8_t *out)
{
    static const uint8_t scopes[] = {0, 253, 254}; /* RT_SCOPE_* */
    int i = parser_choose(phrase->parser, phrase->value, "global link host");

    if (i < 0)
        return i;
    *out = scopes[i];
    return 0;
}

static int take_route_word(struct phrase *phrase, int keyword, struct route_arg *route)
{
    switch (keyword) {
    case 0:
        return take_host(phrase->parser, phrase->value, &route->gateway);
    case 1:
        return take_host(phrase->parser, phrase->value, &route->source);
    case 2:
        return phrase_number(phrase, 0, &route->metric);
    case 3:
        return phrase_number(phrase, 1, &route->table);
    case 4:
        return take_scope(phrase, &route->scope);
    default:
        route->onlink = true;
        return 0;
    }
}

/* What only the whole route can tell: the family of `default`, and what goes together. */
static int finish_route(struct parser *parser, struct route_arg *route)
{
    const struct ip *hops[] = {&route->gateway, &route->source};

    for (size_t i = 0; i < 2 && route->destination.family == 0; i++)
        route->destination.family = hops[i]->family;
    if (route->destination.family == 0)
        route->destination.family = AF_INET;
    for (size_t i = 0; i < 2; i++)
        if (hops[i]->family != 0 && hops[i]->family != route->destination.family)
            return parser_refuse(parser, span_of(route->text), "mixes IPv4 and IPv6");
    if (route->onlink && route->gateway.family == 0)
        return parser_refuse(parser, span_of(route->text), "says onlink without a gateway");
    if (route->destination.family == AF_INET6 && route->scope != SCOPE_BY_KERNEL &&
        route->scope != 0)
        return parser_refuse(parser, span_of(route->text), "has a scope that is IPv4's alone");
    return 0;
}

int take_route(struct parser *parser, const char *value)
{
    struct phrase phrase = phrase_of(parser, value, "via src metric table scope onlink");
    struct options *out = parser->out;
    int keyword, rc = 0;

    if (out->route_count == OPTIONS_ROUTES)
        return parser_fail(parser, "more than 64");
    struct route_arg *route = &out->routes[out->route_count];
    *route = (struct route_arg){.text = value, .scope = SCOPE_BY_KERNEL};
    struct span word = span_word(&phrase.rest);
    if (!span_is(word, "default")) /* its family is not known yet */
        rc = take_network(parser, word, "is no destination (as 198.51.100.0/24, or default)",
                          &route->destination);
    while (rc == 0 && (keyword = phrase_next(&phrase, 5)) != -ENOENT)
        rc = keyword < 0 ? keyword : take_route_word(&phrase, keyword, route);
    if (rc == 0)
        rc = finish_route(parser, route);
    if (rc == 0)
        out->route_count++;
    return rc;
}

/* ---- rules ---- */

static int take_mark(struct phrase *phrase, struct rule_arg *rule)
{
    struct span mask = phrase->value;
    bool masked;
    struct span mark = span_cut(&mask, '/', &masked);

    rule->mask = UINT32_MAX;
    int rc = parser_number(phrase->parser, mark, 0, UINT32_MAX, &rule->mark);
    return rc < 0 || !masked ? rc : parser_number(phrase->parser, mask, 1, UINT32_MAX, &rule->mask);
}

/* The link has one name in a rule, whatever it is called in the pod. */
static int take_self(struct phrase *phrase, bool *out)
{
    *out = true;
    return span_is(phrase->value, "self")
               ? 0
               : parser_refuse(phrase->parser, phrase->value,
                               "is no link that a rule can name: only self, the link lent");
}

static int take_rule_word(struct phrase *phrase, int keyword, struct rule_arg *rule)
{
    static const char why[] = "is no network (as 198.51.100.0/24)";

    switch (keyword) {
    case 0:
        return take_network(phrase->parser, phrase->value, why, &rule->from);
    case 1:
        return take_network(phrase->parser, phrase->value, why, &rule->to);
    case 2:
        return take_mark(phrase, rule);
    case 3:
        return take_self(phrase, &rule->iif);
    case 4:
        return take_self(phrase, &rule->oif);
    case 5:
        return phrase_number(phrase, 1, &rule->table);
    default:
        return phrase_number(phrase, 1, &rule->priority);
    }
}

int take_rule(struct parser *parser, const char *value)
{
    struct phrase phrase = phrase_of(parser, value, "from to fwmark iif oif table priority");
    struct options *out = parser->out;
    int keyword, rc = 0;

    if (out->rule_count == OPTIONS_RULES)
        return parser_fail(parser, "more than 64");
    struct rule_arg *rule = &out->rules[out->rule_count];
    *rule = (struct rule_arg){0};
    while (rc == 0 && (keyword = phrase_next(&phrase, NONE_BARE)) != -ENOENT)
        rc = keyword < 0 ? keyword : take_rule_word(&phrase, keyword, rule);
    if (rc < 0)
        return rc;
    if (rule->table == 0)
        return parser_refuse(parser, span_of(value), "names no table");
    if (rule->from.family != 0 && rule->to.family != 0 && rule->from.family != rule->to.family)
        return parser_refuse(parser, span_of(value), "mixes IPv4 and IPv6");
    out->rule_count++;
    return 0;
}

/* ---- neighbours ---- */

int take_neighbour(struct parser *parser, const char *value)
{
    struct options *out = parser->out;
    struct span rest = span_of(value), word = span_word(&rest);
    bool proxy = span_is(word, "proxy");

    if (out->neighbour_count == OPTIONS_NEIGHBOURS)
        return parser_fail(parser, "more than 64");
    struct neighbour_arg *neighbour = &out->neighbours[out->neighbour_count];
    *neighbour = (struct neighbour_arg){0};
    int rc = take_host(parser, proxy ? span_word(&rest) : word, &neighbour->ip);
    if (rc < 0)
        return rc;
    if (!proxy) {
        if (!span_is(span_word(&rest), "lladdr"))
            return parser_refuse(parser, span_of(value), "has no lladdr behind the address");
        word = span_word(&rest);
        if (parse_mac(word, &neighbour->mac) < 0)
            return parser_refuse(parser, word, "is not a MAC address");
    }
    word = span_word(&rest);
    if (word.length > 0)
        return parser_refuse(parser, word, "is too much: nothing follows it");
    out->neighbour_count++;
    return 0;
}

/* ---- all together ---- */

int phrases_finish(struct parser *parser)
{
    struct options *out = parser->out;
    bool has_default = false;

    for (size_t i = 0; i < out->route_count; i++) {
        struct route_arg *route = &out->routes[i];
        if (route->table == 0)
            route->table = out->vrf.table != 0 ? out->vrf.table : TABLE_MAIN;
        has_default |= route->destination.prefix == 0;
    }
    if (out->gateway && !has_default)
        return parser_fail(parser, "--gateway: no --route is a default route");
    int rc = vf_finish(parser);
    return rc < 0 ? rc : links_finish(parser);
}
