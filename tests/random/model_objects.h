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
  struct Future {
    std::optional<Outcome> result{};
    Waiting waiters{};
    bool taken = false;  // an exception of which somebody knows
    // Who refers to it: the Promise, the Future that all share, and others.
    bool promise = true;
    bool shared = true;
    int others = 0;
  };

  // A step of this family begins, or has ended as it should.
  void begin_queue(Frame& frame);
  void begin_lock(Frame& frame);
  void begin_condition(Frame& frame);
  void begin_signal(Frame& frame);
  void begin_select(Frame& frame);
  void begin_future(Frame& frame);
  void hold_future(const Frame& frame);
  void end_object(Frame& frame);

  // What refers to the future goes, by this fiber.
  void release(Future& its, int fiber);
  void end_future(const Frame& frame);

  bool abort_object(Frame& frame, Outcome outcome);
  void check_locks() const;
  void check_left(const Entry& entry);

  Outcome outcome_of_whole(const Frame& part, Outcome outcome) const override;

  virtual void future_done(int promise) = 0;

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

  // Where a waiter was passed over this often, its offers are firm.
  static constexpr int kMostPassedOver = 4;

  // Those who wait, and those who have an offer, in the order in which they came.
  struct Heirs {
    Waiting waiting{};
    Waiting heirs{};
  };

  struct ModelMutex : Heirs {
    int owner = kFree;    // or the heir
    Waiting returning{};  // from the condition: they want it, but maybe have not asked yet
  };

  struct ModelSharedMutex : Heirs {
    int owner = kFree;  // or the heir
    int readers = 0;    // and heirs
  };

  struct ModelSemaphore : Heirs {
    std::int64_t permits = 0;
  };

  struct ModelEvent {
    bool set = false;
    Waiting waiting;
  };

  static int future_held_by(const Step& step);
  static bool takes_item(const Entry& entry, const Step& push);
  void begin_part(Frame& part);
  void push(ModelQueue& queue, Frame& frame);
  void pop(ModelQueue& queue, Frame& frame);
  Key by_item() const;
  std::int64_t take(int number);
  void discard(ModelQueue& queue);
  void close(ModelQueue& queue);

  static void insert(Waiting& list, Frame& frame);
  void offer(Heirs& its, Frame& heir, Outcome outcome);
  void accept(Heirs& its, Frame& frame);
  void pass_over(Waiting& waiting, Heirs& its, Frame& heir);
  bool gives_way(Frame& heir, const Frame& taker) const;

  bool take_mutex(ModelMutex& mutex, Frame& taker);
  void unlock(ModelMutex& mutex, int number);
  void grant(ModelMutex& mutex, int number);
  Frame* next_to_return(ModelMutex& mutex, int number);
  bool parks(int fiber) const;
  void come_back(Frame& frame, Outcome outcome);
  void begin_shared_lock(Frame& frame);
  bool take_shared_mutex(Frame& taker);
  void sweep(Waiting& waiting);
  bool is_unsure(const Step& step) const;
  bool takes(const Frame& frame) const;
  bool waits(const Frame& frame) const;
  bool may_be_passed_over(const Frame& heir) const;
  Frame* next_heir(Heirs& its);
  void admit();
  void acquire(ModelSemaphore& semaphore, Frame& frame);
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
