#include "weft/fiber/core/intrusive_list.h"

#include <cstddef>
#include <deque>
#include <list>
#include <random>
#include <string>
#include <vector>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(intrusive_list)

using namespace weft;
using namespace weft::internal;

namespace {

struct Left;
struct Right;

struct Item : ListNode<Left>, ListNode<Right> {
  explicit Item(char its_name = ' ') : name(its_name) {}
  char name;
  Item* next = nullptr;
};

using LeftList = IntrusiveList<Item, Left>;
using RightList = IntrusiveList<Item, Right>;
using Queue = IntrusiveQueue<Item, &Item::next>;

template <class List>
std::string names(const List& list) {
  std::string all;
  for (Item* item = list.front(); item; item = list.next(*item)) all += item->name;
  return all;
}

std::string names(const Queue& queue) {
  std::string all;
  for (Item* item = queue.front(); item; item = item->next) all += item->name;
  return all;
}

}  // namespace

// ---- IntrusiveList ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_new_list_is_empty) {
  LeftList list;
  BOOST_TEST(list.empty());
  BOOST_TEST(list.front() == nullptr);
  BOOST_TEST(list.pop_front() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_list_keeps_its_order) {
  Item a('a'), b('b'), c('c');
  LeftList list;
  for (Item* item : {&a, &b, &c}) list.push_back(*item);
  BOOST_TEST(names(list) == "abc");
  BOOST_TEST(list.front() == &a);
  BOOST_TEST(list.next(a) == &b);
  BOOST_TEST(list.next(c) == nullptr);
  BOOST_TEST(list.pop_front() == &a);
  list.push_back(a);
  BOOST_TEST(names(list) == "bca");
}

BOOST_AUTO_TEST_CASE(an_item_leaves_a_list_from_anywhere) {
  for (const std::size_t leaves : {0u, 1u, 2u}) {
    Item items[3] = {Item('a'), Item('b'), Item('c')};
    LeftList list;
    for (Item& item : items) list.push_back(item);
    list.erase(items[leaves]);
    BOOST_TEST(names(list) == std::string("abc").erase(leaves, 1));
    list.push_back(items[leaves]);
    BOOST_TEST(names(list).back() == items[leaves].name);
    BOOST_TEST(names(list).size() == 3u);
  }
}

BOOST_AUTO_TEST_CASE(an_item_knows_whether_it_is_on_a_list) {
  Item item;
  ListNode<Left>& node = item;
  LeftList list;
  BOOST_TEST(!node.linked());
  list.push_back(item);
  BOOST_TEST(node.linked());
  list.erase(item);
  BOOST_TEST(!node.linked());
  list.push_back(item);
  list.pop_front();
  BOOST_TEST(!node.linked());
  BOOST_TEST(list.empty());
}

BOOST_AUTO_TEST_CASE(lists_of_different_tags_share_items) {
  Item a('a'), b('b');
  LeftList left;
  RightList right;
  left.push_back(a);
  left.push_back(b);
  right.push_back(b);
  right.push_back(a);
  BOOST_TEST(names(left) == "ab");
  BOOST_TEST(names(right) == "ba");
  left.erase(a);
  BOOST_TEST(names(left) == "b");
  BOOST_TEST(names(right) == "ba");
}

BOOST_AUTO_TEST_CASE(a_list_does_as_std_list_does) {
  constexpr unsigned kSeed = 1;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    std::mt19937 random(kSeed);
    std::vector<Item> items(20);
    LeftList list;
    std::list<Item*> model;
    for (int step = 0; step < 20'000; ++step) {
      Item& item = items[random() % items.size()];
      if (static_cast<ListNode<Left>&>(item).linked()) {
        list.erase(item);
        model.remove(&item);
      } else if (random() % 8 == 0) {
        BOOST_REQUIRE(list.pop_front() == (model.empty() ? nullptr : model.front()));
        if (!model.empty()) model.pop_front();
      } else {
        list.push_back(item);
        model.push_back(&item);
      }
      BOOST_REQUIRE(list.empty() == model.empty());
      Item* next = list.front();
      for (Item* expected : model) {
        BOOST_REQUIRE(next == expected);
        next = list.next(*next);
      }
      BOOST_REQUIRE(next == nullptr);
    }
  }
}

// ---- IntrusiveQueue -----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_queue_is_first_in_first_out) {
  Item a('a'), b('b');
  Queue queue;
  BOOST_TEST(queue.empty());
  BOOST_TEST(queue.front() == nullptr);
  BOOST_TEST(queue.pop_front() == nullptr);
  queue.push_back(a);
  queue.push_back(b);
  BOOST_TEST(queue.front() == &a);
  BOOST_TEST(queue.pop_front() == &a);
  BOOST_TEST(queue.pop_front() == &b);
  BOOST_TEST(queue.pop_front() == nullptr);
  BOOST_TEST(queue.empty());
}

BOOST_AUTO_TEST_CASE(an_item_may_jump_a_queue) {
  Item a('a'), b('b'), c('c');
  Queue queue;
  queue.push_front(b);
  queue.push_back(c);
  queue.push_front(a);
  BOOST_TEST(names(queue) == "abc");
}

BOOST_AUTO_TEST_CASE(rotating_is_pushing_and_popping) {
  Item a('a'), b('b'), c('c');
  Queue queue;
  queue.push_back(a);
  BOOST_TEST(queue.rotate(b) == &a);
  BOOST_TEST(names(queue) == "b");
  queue.push_back(c);
  BOOST_TEST(queue.rotate(a) == &b);
  BOOST_TEST(names(queue) == "ca");
}

BOOST_AUTO_TEST_CASE(a_queue_does_as_std_deque_does) {
  constexpr unsigned kSeed = 1;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    std::mt19937 random(kSeed);
    std::vector<Item> items(8);
    std::vector<Item*> idle;
    for (Item& item : items) idle.push_back(&item);
    Queue queue;
    std::deque<Item*> model;
    const auto take = [&] {
      Item* item = idle[random() % idle.size()];
      std::erase(idle, item);
      return item;
    };
    for (int step = 0; step < 20'000; ++step) {
      const unsigned choice = random() % 5;
      if (choice < 2) {
        Item* popped = queue.pop_front();
        BOOST_REQUIRE(popped == (model.empty() ? nullptr : model.front()));
        if (popped) {
          model.pop_front();
          idle.push_back(popped);
        }
      } else if (!idle.empty()) {
        Item* item = take();
        if (choice == 2) {
          queue.push_front(*item);
          model.push_front(item);
        } else if (choice == 3 || model.empty()) {
          queue.push_back(*item);
          model.push_back(item);
        } else {
          model.push_back(item);
          BOOST_REQUIRE(queue.rotate(*item) == model.front());
          idle.push_back(model.front());
          model.pop_front();
        }
      }
      BOOST_REQUIRE(queue.empty() == model.empty());
      BOOST_REQUIRE(queue.front() == (model.empty() ? nullptr : model.front()));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
