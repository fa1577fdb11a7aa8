/* Settings of the link and of its driver, on the way into the pod. */

#include "tune.h"

#include "ethtool.h"
#include "sysctl.h"

#define SUBJECT_SIZE 256

int driver_prepare(struct mover *mover)
{
    const struct options *options = mover->options;
    char subject[SUBJECT_SIZE];
    struct text why;
    const struct ethtool e = {mover->host.fd, mover->record.link.name, options->settings,
                              options->setting_count, &why};

    text_init(&why, subject, sizeof subject);
    int rc = ethtool_capture(&e, &mover->record.ethtool);
    return rc < 0 ? fail_about(mover, rc, "look at the link's driver", &why) : 0;
}

int driver_set(struct mover *mover, struct pod *pod, const char *name)
{
    const struct options *options = mover->options;
    char subject[SUBJECT_SIZE];
    struct text why;
    const struct ethtool e = {pod->nl.fd, name, options->settings, options->setting_count, &why};
    int rc = 0;

    text_init(&why, subject, sizeof subject);
    for (unsigned group = SETTING_CHANNELS; rc == 0 && group <= SETTING_FEATURE; group++)
        rc = ethtool_set(&e, group, false);
    return rc < 0 ? fail_about(mover, rc, "change the link's driver in the pod", &why) : 0;
}

struct work {
    const struct options *options;
    const char *link;
    bool late;
    struct text *why;
};

static int set_each(void *arg)
{
    const struct work *work = arg;
    const struct setting *setting = work->options->settings;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < work->options->setting_count; i++, setting++)
        if (setting->group == SETTING_SYSCTL)
            rc = sysctl_set(work->link, setting->text, work->late, work->why);
    return rc;
}

int sysctls_set(struct mover *mover, struct pod *pod, struct link *link, bool late)
{
    char subject[PATH_SIZE];
    struct text why;
    struct work work = {mover->options, link->name, late, &why};

    if (mover->options->setting_count == 0)
        return 0;
    text_init(&why, subject, sizeof subject);
    int rc = netns_within(pod->netns, mover->own, set_each, &work);
    if (rc == 0)
        rc = link_get(&pod->nl, link->ifindex, NULL, link);
    return rc < 0 ? fail_about(mover, rc, "change the link's settings in the pod", &why) : 0;
}
