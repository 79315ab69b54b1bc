#ifndef WEFT_TESTS_RANDOM_MODEL_TASKS_H_
#define WEFT_TESTS_RANDOM_MODEL_TASKS_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "tests/random/model_objects.h"

// The model of fibers, tasks, calls and groups.
namespace weft::test {

class ModelTasks : public ModelObjects {
 public:
  using ModelObjects::ModelObjects;

 protected:
  void begin_fiber(const Entry& entry);
  void end_fiber(int number, Outcome outcome);
  void take_unhandled(const Outcome& outcome);

  // A step of this family begins.
  void begin_task(Frame& frame);
  void begin_tasks(Frame& frame);
  void begin_call(Frame& frame);
  void begin_callback(Frame& frame);
  void begin_group(Frame& frame);

  // Before a step of any family ends, and when it has ended as it should.
  void refine(Frame& frame);
  void end_task(Frame& frame);

  // What a fiber that leaves a gather() does before it goes on.
  void settle(Frame& gather);
  void settle() override;

  std::optional<int> eager_{};        // has to be the next that does something
  std::vector<Outcome> unhandled_{};  // to be told to the exception handler

 private:
  bool abort_specially(Frame& frame, Outcome outcome) override;
  void cancelled_before_begin(int number) override;
  void future_done(int promise) override;

  static bool has(std::int64_t set, int fiber) { return set >> fiber & 1; }
  static bool failed(const Outcome& outcome);
  static Outcome got(const ModelFiber& fiber);

  void end_fiber_as(int number, Outcome outcome);
  void wake_joiner(Frame& frame, int number);
  static bool watches(const Frame& frame, int number);
  void tell_watcher(Frame& frame, Frame& top, int number);
  bool is_enough(const Frame& frame);
  void close_runtime();

  void give_up(const ModelFiber& task);
  void spawn(Frame& frame);
  void make_ready(ModelFiber& call);

  void join_group(int number, Frame& group);
  void cancel_group(Frame& group);
  void leave_group(int number);
  void decide_joins(Frame& group);
  void decide_join(Frame& joiner, Frame& group);
  Outcome gathered(const Frame& gather);
  void suspect(int number);

  bool closing_ = false;
  std::map<std::int64_t, Frame*> groups_{};
  std::array<std::vector<int>, Program::kPromises> callbacks_{};
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_TASKS_H_
