/* Links that are made in the pod, as words: --vrf, --vlan, --create. */

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "names.h"
#include "parser.h"

/* ---- VRF and VLAN ---- */

static int take_name(struct parser *parser, struct span word, char out[LINK_NAME_SIZE])
{
    if (!is_link_name(word) || span_is(word, "all") || span_is(word, "default"))
        return parser_refuse(parser, word, "cannot name a link");
    return span_copy(word, out, LINK_NAME_SIZE);
}

int take_vrf(struct parser *parser, const char *value)
{
    struct phrase phrase = phrase_of(parser, value, "table");
    struct vrf_arg *vrf = &parser->out->vrf;
    int keyword;

    int rc = take_name(parser, span_word(&phrase.rest), vrf->name);
    while (rc == 0 && (keyword = phrase_next(&phrase, NONE_BARE)) != -ENOENT)
        rc = keyword < 0 ? keyword : phrase_number(&phrase, 1, &vrf->table);
    if (rc == 0 && vrf->table == 0)
        return parser_refuse(parser, span_of(value), "names no table");
    return rc;
}

static int take_protocol(struct phrase *phrase, uint16_t *out)
{
    static const uint16_t protocols[] = {ETH_P_8021Q, ETH_P_8021AD};
    int i = parser_choose(phrase->parser, phrase->value, "802.1q 802.1ad");

    if (i < 0)
        return i;
    *out = protocols[i];
    return 0;
}

static int take_vlan_word(struct phrase *phrase, int keyword, struct vlan_arg *vlan)
{
    return keyword == 0 ? take_name(phrase->parser, phrase->value, vlan->name)
                        : take_protocol(phrase, &vlan->protocol);
}

int take_vlan(struct parser *parser, const char *value)
{
    struct phrase phrase = phrase_of(parser, value, "name protocol");
    struct vlan_arg *vlan = &parser->out->vlan;
    int keyword;

    vlan->protocol = ETH_P_8021Q;
    int rc = parser_number(parser, span_word(&phrase.rest), 1, VLAN_MAX, &vlan->id);
    while (rc == 0 && (keyword = phrase_next(&phrase, NONE_BARE)) != -ENOENT)
        rc = keyword < 0 ? keyword : take_vlan_word(&phrase, keyword, vlan);
    return rc;
}

/* ---- the link itself ---- */

static int take_create_word(struct phrase *phrase, int keyword, struct create_arg *create)
{
    static const char modes[][32] = {"private vepa bridge passthru", "l2 l3 l3s"};

    if (create->sort == CREATE_VLAN)
        return keyword == 0
                   ? parser_number(phrase->parser, phrase->value, 1, VLAN_MAX, &create->number)
                   : take_protocol(phrase, &create->flag);
    int i = parser_choose(phrase->parser, phrase->value,
                          keyword == 0 ? modes[create->sort] : "bridge private vepa");
    if (i < 0)
        return i;
    if (keyword == 1)
        create->flag = (uint16_t)i; /* IPVLAN_F_* */
    else /* enum macvlan_mode, enum ipvlan_mode */
        create->number = create->sort == CREATE_MACVLAN ? 1U << i : (uint32_t)i;
    return 0;
}

int take_create(struct parser *parser, const char *value)
{
    static const char keywords[][16] = {"mode", "mode flag", "id protocol"};
    struct phrase phrase = phrase_of(parser, value, NULL);
    struct create_arg *create = &parser->out->create;
    struct span kind = span_word(&phrase.rest);
    int keyword, rc = parser_choose(parser, kind, "macvlan ipvlan vlan");

    if (rc < 0)
        return rc;
    create->sort = (enum create_sort)rc;
    create->flag = create->sort == CREATE_VLAN ? ETH_P_8021Q : 0;
    phrase.keywords = keywords[rc];
    rc = span_copy(kind, create->kind, sizeof create->kind);
    while (rc == 0 && (keyword = phrase_next(&phrase, NONE_BARE)) != -ENOENT)
        rc = keyword < 0 ? keyword : take_create_word(&phrase, keyword, create);
    if (rc == 0 && !(phrase.seen & 1))
        return parser_refuse(parser, span_of(value), "names no mode, or id");
    return rc;
}

/* ---- all together ---- */

/* LINK.ID, unless it was given a name. */
static int name_vlan(struct parser *parser)
{
    struct options *out = parser->out;
    struct text name;

    if (out->vlan.id == 0 || out->vlan.name[0] != '\0')
        return 0;
    text_init(&name, out->vlan.name, sizeof out->vlan.name);
    text_put(&name, out->as);
    text_put_char(&name, '.');
    text_put_unsigned(&name, out->vlan.id);
    if (!name.cut)
        return 0;
    return parser_fail(parser, "--vlan: LINK.ID is too long for a name; give one");
}

static int check_names(struct parser *parser)
{
    const struct options *out = parser->out;

    bool vlan = out->vlan.id != 0, vrf = out->vrf.table != 0;
    if (!(vlan && strcmp(out->vlan.name, out->as) == 0) &&
        !(vrf && strcmp(out->vrf.name, out->as) == 0) &&
        !(vlan && vrf && strcmp(out->vrf.name, out->vlan.name) == 0))
        return 0;
    return parser_fail(parser, "the link, its VLAN and its VRF need a name each");
}

int links_finish(struct parser *parser)
{
    int rc = name_vlan(parser);

    return rc < 0 ? rc : check_names(parser);
}
