/* The wall clock, DAYS_AHEAD days ahead: to be put before the C library's by LD_PRELOAD. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    const char *days = getenv("DAYS_AHEAD");
    if (!failed && id == CLOCK_REALTIME && days)
        now->tv_sec += atol(days) * 24 * 60 * 60;
    return failed;
}
