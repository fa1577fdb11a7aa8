#ifndef NDM_STEPS_H
#define NDM_STEPS_H

/*
 * Places where a mover may be killed: before and after each change that it makes.
 * Only the tests' build has them (docs/reference/mover.md, "Test build").
 */
#ifdef NDM_STEPS
void step(const char *name);
#else
#define step(name) ((void)0)
#endif

#endif
