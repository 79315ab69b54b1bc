#ifndef WEFT_TESTS_RANDOM_MODEL_OBJECTS_H_
#define WEFT_TESTS_RANDOM_MODEL_OBJECTS_H_

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "tests/random/model_fibers.h"

// The model of everything in sync/, and of promises.
namespace weft::test {

class ModelObjects : public ModelFibers {
 public:
  ModelObjects(const Program& program, const Record& record);

 protected:
  // A step of this family begins, or has ended as it should.
  void begin_queue(Frame& frame);
  void begin_lock(Frame& frame);
  void begin_condition(Frame& frame);
  void begin_signal(Frame& frame);
  void begin_future(Frame& frame);
  void end_object(Frame& frame);

  bool abort_object(Frame& frame, Outcome outcome);
  void check_mutexes() const;
  void check_left(const Entry& entry);

  virtual void future_done(int promise) = 0;

  struct Future {
    std::optional<Outcome> result;
    Waiting waiters;
  };
  std::array<Future, Program::kPromises> futures_;

 private:
  static constexpr int kFree = -1;

  struct ModelQueue {
    std::deque<std::int64_t> items;
    std::size_t capacity = 0;
    bool closed = false;
    std::int64_t unfinished = 0;
    Waiting poppers, pushers, joiners;
  };

  struct ModelMutex {
    int owner = kFree;
    Waiting waiting;
    Waiting returning;  // from the condition: they want it, but maybe have not asked yet
  };

  struct ModelSharedMutex {
    int owner = kFree;
    int readers = 0;
    bool contended = false;
    Waiting waiting;
  };

  struct ModelSemaphore {
    std::int64_t permits = 0;
    Waiting waiting;
  };

  struct ModelEvent {
    bool set = false;
    Waiting waiting;
  };

  void push(ModelQueue& queue, Frame& frame);
  void pop(ModelQueue& queue, Frame& frame);
  std::int64_t take(int number);
  void close(ModelQueue& queue);

  void unlock(ModelMutex& mutex, int number);
  void grant(ModelMutex& mutex, int number);
  Frame* next_to_return(ModelMutex& mutex, int number);
  void come_back(Frame& frame, Outcome outcome);
  void begin_shared_lock(Frame& frame);
  void admit();
  void arrive(Frame& frame);

  ModelQueue& queue(int number) { return queues_[static_cast<std::size_t>(number)]; }
  ModelMutex& mutex(int number) { return mutexes_[static_cast<std::size_t>(number)]; }

  std::array<ModelQueue, Program::kQueues> queues_;
  std::array<ModelMutex, Program::kSharedMutex> mutexes_;
  ModelSharedMutex shared_;
  Waiting condition_;
  std::array<ModelSemaphore, Program::kSemaphores> semaphores_;
  std::array<ModelEvent, Program::kEvents> events_;
  std::int64_t arrived_ = 0;
  std::int64_t opened_ = 0;
  Waiting at_barrier_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_OBJECTS_H_
