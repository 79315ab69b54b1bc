#ifndef WEFT_TESTS_RANDOM_MODEL_GROUPS_H_
#define WEFT_TESTS_RANDOM_MODEL_GROUPS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tests/random/model_tasks.h"

// The model of groups of tasks.
namespace weft::test {

struct ModelGroup {
  std::set<int> children{};
  std::set<int> silent{};            // children that end without having begun, some time soon
  std::vector<Outcome> failures{};   // in the order of time, no two alike
  std::optional<Outcome> failure{};  // the first, until it is thrown
  Tri closed = Tri::kNo;             // failed or cancelled: no child may start
  bool collects = false;             // kGatherAll: a failure of a child is a result
  bool joined = false;               // the next child or body ends the list of failures
  Frame* body = nullptr;             // its kGroupBody, while that runs
  Waiting joiners{};
};

class ModelGroups : public ModelTasks {
 public:
  using ModelTasks::ModelTasks;

 protected:
  // A step of this family, or the body of a group, begins or has ended as it should.
  void begin_group(Frame& frame);
  void end_group(Frame& frame);
  void begin_body(Frame& body);
  void end_body(Frame& body);

  // What a fiber does, that was cancelled while it waited for children, before it goes on.
  void settle(Frame& joiner);
  void settle() override;

 private:
  bool abort_specially(Frame& frame, Outcome outcome) override;
  void cancelled_before_begin(int number) override;
  bool join_group(Frame& frame, int child) override;
  void leave_group(int child) override;
  bool was_cancelled(const ModelFiber& fiber) const override;
  bool is_collected(const ModelFiber& fiber) const override;

  ModelGroup& group_of(const Frame& frame) { return groups_[frame.step.object]; }
  void start_all(Frame& gather);
  void join(Frame& frame, ModelGroup& group);
  void close_and_cancel(ModelGroup& group);
  void add_failure(ModelGroup& group, const Outcome& failure);
  bool is_failure(const ModelGroup& group, const ModelFiber& child) const;
  void suspect_children(ModelGroup& group);
  void decide_joins(ModelGroup& group);
  Outcome outcome_of(Frame& joiner, ModelGroup& group);
  Outcome results_of(const Frame& gather);

  std::map<std::int64_t, ModelGroup> groups_{};
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_GROUPS_H_
