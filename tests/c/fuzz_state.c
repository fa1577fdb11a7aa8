/* Any bytes on stdin: a state that keeps its promises, or an error with its place. */
#include <string.h>

#include "fuzz.h"
#include "names.h"
#include "ocistate.h"
#include "text.h"

static void check_state(const struct oci_state *state)
{
    MUST(is_container_id(span_of(state->id)));
    MUST(state->pid >= 0);
    MUST(strlen(state->bundle) < sizeof state->bundle);
    MUST(strlen(state->pod_name) < sizeof state->pod_name);
    MUST(strlen(state->pod_namespace) < sizeof state->pod_namespace);
    MUST(strlen(state->pod_uid) < sizeof state->pod_uid);
    MUST(strlen(state->container) < sizeof state->container);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct oci_state nothing;
    static struct oci_state state;
    struct parse_error error;
    int rc = oci_state_parse((const char *)data, size, &state, &error);

    if (rc == 0) {
        check_state(&state);
        return 0;
    }
    MUST(rc < 0 && error.what && error.offset <= size);
    MUST(memcmp(&state, &nothing, sizeof state) == 0);
    return 0;
}
