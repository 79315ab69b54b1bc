#ifndef WEFT_TESTS_RANDOM_MODEL_TASKS_H_
#define WEFT_TESTS_RANDOM_MODEL_TASKS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tests/random/model_objects.h"

// The model of fibers, tasks and calls.
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

  // Before a step of any family ends, and when it has ended as it should.
  void refine(Frame& frame);
  void end_task(Frame& frame);

  // A child of a group is to be started by the step: returns whether it is. And a child has ended.
  virtual bool join_group(Frame& frame, int child) = 0;
  virtual void leave_group(int child) = 0;

  static bool has(std::int64_t set, int fiber) { return set >> fiber & 1; }

  std::optional<int> eager_{};  // has to be the next that does something

 private:
  void future_done(int promise) override;

  static Outcome got(const ModelFiber& fiber);

  void end_fiber_as(int number, Outcome outcome);
  void wake_joiner(Frame& frame, int number);
  static bool watches(const Frame& frame, int number);
  void tell_watcher(Frame& frame, Frame& top, int number);
  bool is_enough(const Frame& frame);
  virtual bool was_cancelled(const ModelFiber& fiber) const = 0;
  virtual bool is_collected(const ModelFiber& fiber) const = 0;
  void close_runtime();

  void give_up(int owner, const ModelFiber& task);
  void spawn(Frame& frame);
  void make_ready(ModelFiber& call);

  bool closing_ = false;
  std::array<std::vector<int>, Program::kPromises> callbacks_{};
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_TASKS_H_
