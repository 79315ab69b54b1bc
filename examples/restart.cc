// A TCP server that its next version replaces while it runs: no connection is refused or lost. On
// SIGHUP it starts its program anew and hands the listener on, as systemd's socket activation does
// (weft::listen_fds). The new process accepts, and ends the old one by SIGTERM, which answers the
// connections that it has. If the new one cannot start, the old one simply goes on.
// Run it: ./bazelw run -c opt //examples:restart -- 127.0.0.1:7779
// Talk to it: echo hello | socat - tcp:127.0.0.1:7779
// Replace it: pkill -HUP -x restart

#include <spawn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "weft/weft.h"

namespace {

struct Arguments {
  const char* program;
  const char* address;
};

// Starts the program with the listener as its descriptor 3. The shell knows the new process's
// number. FD_CLOEXEC is cleared by the dup2, and the signals that this thread has blocked are not.
void start_next(const weft::TcpListener& listener, const Arguments& arguments) {
  constexpr char kShell[] = "/bin/sh";
  constexpr char kScript[] = "LISTEN_FDS=1 LISTEN_PID=$$ REPLACES=$PPID exec \"$0\" \"$@\"";
  const char* const words[] = {kShell, "-c", kScript, arguments.program, arguments.address,
                               nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, listener.native_handle(), 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t unblocked;
  sigemptyset(&unblocked);
  posix_spawnattr_setsigmask(&attributes, &unblocked);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error =
      posix_spawn(nullptr, kShell, &actions, &attributes, const_cast<char* const*>(words), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) std::fprintf(stderr, "the next process did not start\n");
}

// Ends the process that this one replaces, if that is still there.
void end_the_one_before() {
  const char* const replaced = std::getenv("REPLACES");
  if (replaced && std::to_string(getppid()) == replaced) kill(getppid(), SIGTERM);
}

weft::TcpListener listener_for(const char* address) {
  const std::vector<int> given = weft::listen_fds();
  return given.empty() ? weft::TcpListener(address) : weft::TcpListener::adopt(given.front());
}

// Each line is sent back, with the number of the process.
void answer(weft::Stream auto& stream) {
  weft::BufferedReader reader(stream);
  std::string line;
  while (reader.read_line(line)) {
    stream.write_all(std::to_string(getpid()) + " " + line + "\n");
  }
}

void serve(const Arguments& arguments) {
  weft::SignalSet ends({SIGINT, SIGTERM}), restarts({SIGHUP});
  weft::TcpListener listener = listener_for(arguments.address);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  end_the_one_before();
  weft::with_task_group([&](weft::TaskGroup& connections) {
    auto restart = weft::spawn([&] {
      for (;;) {
        restarts.wait();
        start_next(listener, arguments);
      }
    });
    auto stop = weft::spawn([&] {
      ends.wait();
      listener.close();  // what waits to be accepted is left to the next process
    });
    std::error_code error;
    for (;;) {
      weft::TcpStream stream = listener.accept(error);
      if (error == std::errc::operation_canceled) break;  // it is closed
      if (error) throw std::system_error(error, "accept");
      connections.spawn([stream = std::move(stream)]() mutable {
        try {
          answer(stream);
        } catch (const std::system_error&) {  // such as a reset: the end of this connection only
        }
      });
    }
    restart.cancel();
    connections.join();
  });
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGCHLD, SIG_IGN);  // a next process that fails leaves nothing behind
  weft::run([&] { serve({argv[0], argc > 1 ? argv[1] : "127.0.0.1:7779"}); });
} catch (const std::exception& error) {  // such as an address in use
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
