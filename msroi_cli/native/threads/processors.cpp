#include "threads/processors.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

namespace msroi {

namespace {

// The processors that a cgroup's quota amounts to, rounded up; 0 if there is none.
int quota_of(const std::string& quota_file, const std::string& period_file) {
    std::ifstream quota_text(quota_file), period_text(period_file);
    double quota = 0, period = 0;
    if (!(quota_text >> quota)) return 0;
    if (period_file.empty() ? !(quota_text >> period) : !(period_text >> period)) return 0;
    return quota > 0 && period > 0 ? static_cast<int>(std::ceil(quota / period)) : 0;
}

#if defined(__linux__)
// The least quota of a group and those above it; `path`: the group, below `root`.
int least_quota(const std::string& root, std::string path, const char* quota, const char* period) {
    int least = 0;
    for (;;) {
        const std::string folder = root + path + "/";
        const int found = quota_of(folder + quota, period ? folder + period : "");
        if (found && (!least || found < least)) least = found;
        if (path.empty() || path == "/") return least;
        path.erase(path.find_last_of('/'));
    }
}

int cgroup_quota() {
    int least = 0;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::string path = line.substr(second + 1);
        int found = 0;
        if (controllers == ",,") found = least_quota("/sys/fs/cgroup", path, "cpu.max", nullptr);
        if (controllers.find(",cpu,") != std::string::npos)
            found = least_quota("/sys/fs/cgroup/cpu", path, "cpu.cfs_quota_us", "cpu.cfs_period_us");
        if (found && (!least || found < least)) least = found;
    }
    return least;
}

int affinity() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::thread::hardware_concurrency());
}
#else
int cgroup_quota() { return 0; }
int affinity() { return static_cast<int>(std::thread::hardware_concurrency()); }
#endif

}  // namespace

int usable_processors() {
    static const int quota = cgroup_quota();
    const int processors = std::max(affinity(), 1);
    return quota ? std::min(quota, processors) : processors;
}

}  // namespace msroi
