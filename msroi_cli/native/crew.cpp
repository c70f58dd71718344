#include "crew.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace msroi {

namespace {

// Sleeping threads and the one job they may share. It is never destroyed: at exit its threads may still sleep on it,
// and in a forked child, which has none of them, its locks may be in any state.
class Crew {
public:
    const pid_t process = getpid();

    void run(int threads, const std::function<void()>& work) {
        std::unique_lock<std::mutex> alone(busy_, std::try_to_lock);
        if (!alone.owns_lock()) return work();
        hire(threads - 1);
        {
            std::lock_guard<std::mutex> hold(state_);
            work_ = &work;
            places_ = threads - 1;
            error_ = nullptr;
        }
        for (int i = 1; i < threads; ++i) wake_.notify_one();
        attempt(work);
        std::unique_lock<std::mutex> hold(state_);
        places_ = 0;  // whoever has not begun finds nothing left to do
        done_.wait(hold, [this] { return working_ == 0; });
        work_ = nullptr;
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

private:
    void hire(int wanted) {
        try {
            for (; hired_ < wanted; ++hired_) std::thread(&Crew::serve, this).detach();
        } catch (const std::system_error&) {
            // No more threads to be had: those there are do the work.
        }
    }

    void serve() {
        std::unique_lock<std::mutex> hold(state_);
        for (;;) {
            wake_.wait(hold, [this] { return places_ > 0; });
            --places_;
            ++working_;
            const std::function<void()>& work = *work_;
            hold.unlock();
            attempt(work);
            hold.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    void attempt(const std::function<void()>& work) {
        try {
            work();
        } catch (...) {
            std::lock_guard<std::mutex> hold(state_);
            if (!error_) error_ = std::current_exception();
        }
    }

    std::mutex busy_;   // held by the call that the crew works for
    std::mutex state_;  // guards what follows
    std::condition_variable wake_, done_;
    const std::function<void()>* work_ = nullptr;
    int hired_ = 0, places_ = 0, working_ = 0;
    std::exception_ptr error_;
};

Crew& crew() {
    static std::atomic<Crew*> current{nullptr};
    Crew* here = current.load();
    while (!here || here->process != getpid()) {
        Crew* fresh = new Crew;
        if (current.compare_exchange_strong(here, fresh)) return *fresh;
        delete fresh;
    }
    return *here;
}

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

void work_together(int threads, const std::function<void()>& work) {
    if (threads < 2) return work();
    crew().run(threads, work);
}

}  // namespace msroi
