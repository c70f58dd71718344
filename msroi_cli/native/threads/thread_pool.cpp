#include "threads/thread_pool.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace msroi {

namespace {

// Sleeping threads and the one job they may share. It is never destroyed: at exit its threads may still sleep on it,
// and in a forked child, which has none of them, its locks may be in any state.
class ThreadPool {
public:
    const pid_t process = getpid();

    void run(int threads, const std::function<void()>& work) {
        std::unique_lock<std::mutex> alone(busy_, std::try_to_lock);
        if (!alone.owns_lock()) return work();
        spawn(threads - 1);
        {
            std::lock_guard<std::mutex> hold(state_);
            work_ = &work;
            openings_ = threads - 1;
            error_ = nullptr;
        }
        for (int i = 1; i < threads; ++i) wake_.notify_one();
        attempt(work);
        std::unique_lock<std::mutex> hold(state_);
        openings_ = 0;  // a thread that has not begun finds nothing left to do
        done_.wait(hold, [this] { return working_ == 0; });
        work_ = nullptr;
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

private:
    void spawn(int wanted) {
        try {
            for (; spawned_ < wanted; ++spawned_) std::thread(&ThreadPool::serve, this).detach();
        } catch (const std::system_error&) {
            // No more threads can be started: the existing ones do the work.
        }
    }

    void serve() {
        std::unique_lock<std::mutex> hold(state_);
        for (;;) {
            wake_.wait(hold, [this] { return openings_ > 0; });
            --openings_;
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

    std::mutex busy_;   // held by the call that the threads work for
    std::mutex state_;  // guards what follows
    std::condition_variable wake_, done_;
    const std::function<void()>* work_ = nullptr;
    int spawned_ = 0, openings_ = 0, working_ = 0;
    std::exception_ptr error_;
};

ThreadPool& thread_pool() {
    static std::atomic<ThreadPool*> current{nullptr};
    ThreadPool* here = current.load();
    while (!here || here->process != getpid()) {
        ThreadPool* fresh = new ThreadPool;
        if (current.compare_exchange_strong(here, fresh)) return *fresh;
        delete fresh;
    }
    return *here;
}

}  // namespace

void run_on_threads(int threads, const std::function<void()>& work) {
    if (threads < 2) return work();
    thread_pool().run(threads, work);
}

}  // namespace msroi
