// A chat: what a client writes, all others get. Each client has a queue and a fiber that writes
// what comes out of it, so a client that reads slowly holds up no other. If a queue is full, its
// oldest messages make room, and a line then says how many the client has missed. Run it: ./bazelw
// run -c opt //examples:chat -- 127.0.0.1:7778 Join in: socat - tcp:127.0.0.1:7778

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kMostMessages = 200;  // that wait for a slow client

using Message = std::shared_ptr<const std::string>;  // one for all clients that get it

struct Client {
  weft::TcpStream stream;
  std::string name{};
  weft::Queue<Message> messages{kMostMessages};
  long missed = 0;

  void send(const Message& message) {
    while (!messages.is_closed() && !messages.try_push(message)) {
      if (messages.try_pop()) ++missed;
    }
  }
  void send(const std::string& line) { send(std::make_shared<const std::string>(line + '\n')); }

  // Writes until the queue is closed and empty, or the client has gone. Then the connection ends.
  void write() {
    try {
      for (const Message& message : messages) {
        if (const long count = std::exchange(missed, 0)) {
          stream.write_all("* you have missed " + std::to_string(count) + " messages\n");
        }
        stream.write_all(*message);
      }
    } catch (const std::system_error&) {
    }
    stream.close();  // ends the reader's wait, too
  }
};

class Room {
 public:
  // A client's stay.
  class Stay {
   public:
    Stay(Room& room, Client& client) : room_(room), client_(client) {
      room_.clients_.push_back(&client_);
    }
    ~Stay() { std::erase(room_.clients_, &client_); }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;

   private:
    Room& room_;
    Client& client_;
  };

  // To all clients that have given their names.
  void say(const std::string& line, const Client* speaker = nullptr) {
    const auto message = std::make_shared<const std::string>(line + '\n');
    for (Client* client : clients_) {
      if (client != speaker && !client->name.empty()) client->send(message);
    }
  }

  void close() {
    say("* the chat ends");
    for (Client* client : clients_) client->messages.close();
    clients_.clear();
  }

 private:
  std::vector<Client*> clients_;
};

// The next line, or the beginning of a long one, without control characters.
bool read_line(weft::BufferedReader& reader, std::string& line) {
  try {
    if (!reader.read_line(line)) return false;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::message_size) throw;
    line = reader.read_exactly(kLongestLine);
  }
  std::erase_if(line, [](unsigned char c) { return c < ' ' || c == 127; });
  return true;
}

void read(Client& client, Room& room) {
  weft::BufferedReader reader(client.stream, kLongestLine);
  client.send("* what is your name?");
  if (!read_line(reader, client.name) || client.name.empty()) return;
  room.say("* " + client.name + " joins");
  for (std::string line; read_line(reader, line);) {
    room.say(client.name + ": " + line, &client);
    weft::yield();  // the writers run now, so a burst of one client fills no queue
  }
}

void talk(weft::TcpStream stream, Room& room) {
  Client client{std::move(stream)};
  auto writer = weft::spawn([&] { client.write(); });
  try {
    const Room::Stay stay(room, client);
    read(client, room);
  } catch (const std::system_error&) {  // such as a reset
  }
  if (!client.name.empty()) room.say("* " + client.name + " leaves");
  client.messages.close();
  writer.wait_for(1s);  // for messages still in the queue; then it is cancelled
}

void serve(const char* address) {
  weft::SignalSet signals({SIGINT, SIGTERM});
  weft::TcpListener listener(address);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);

  Room room;
  weft::with_task_group([&](weft::TaskGroup& clients) {
    auto stop = weft::spawn([&] {
      signals.wait();
      listener.close();
      room.close();
      weft::sleep_for(1s);
      clients.cancel();  // those that do not read
    });
    std::error_code error;
    for (;;) {
      weft::TcpStream stream = listener.accept(error);
      if (error == std::errc::operation_canceled) break;  // it is closed
      if (error) throw std::system_error(error, "accept");
      clients.spawn(
          [&room, stream = std::move(stream)]() mutable { talk(std::move(stream), room); });
    }
    clients.join();
  });
}

}  // namespace

int main(int argc, char** argv) try {
  weft::run([&] { serve(argc > 1 ? argv[1] : "127.0.0.1:7778"); });
} catch (const std::exception& error) {  // such as an address in use
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
