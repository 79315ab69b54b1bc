#ifndef WEFT_TESTS_FAULTS_PEER_H_
#define WEFT_TESTS_FAULTS_PEER_H_

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weft::faults {

// A client of a program under test, without weft. What goes wrong is heard, not thrown, but for a
// program that says nothing for longer than it may take: it hangs.
class Peer {
 public:
  struct Silence : std::runtime_error {
    Silence() : std::runtime_error("it says nothing") {}
  };

  // Less than that of a server for a client that says nothing.
  static inline timeval patience{11, 0};

  // "127.0.0.1:port".
  explicit Peer(std::string_view address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const std::string port(address.substr(address.rfind(':') + 1));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port.c_str())));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool send(std::string_view text) {
    return connected_ &&
           ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  void send_no_more() { shutdown(fd_, SHUT_WR); }

  // What comes, up to and with `last`, or to the end.
  std::string hear(std::string_view last) {
    std::string text;
    char c;
    while (text.find(last) == text.npos && connected_) {
      const ssize_t size = recv(fd_, &c, 1, 0);
      if (size < 0 && errno == EINTR) continue;  // the kernel repeats none with a time limit
      if (size < 0 && errno == EAGAIN) throw Silence();
      if (size != 1) break;
      text += c;
    }
    return text;
  }
  std::string hear_all() { return hear("\377"); }

 private:
  int fd_;
  bool connected_ = false;
};

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_PEER_H_
