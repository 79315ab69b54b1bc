// Skynet in Rust with tokio: a task for each node.
// skynet_tokio THREADS TIMES prints the milliseconds of each time, after one for nothing.
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

const CHILDREN: i64 = 10;
const LEAVES: i64 = 1_000_000;
const LEAF_SUM: i64 = 499_999_500_000;

fn skynet(first: i64, leaves: i64) -> Pin<Box<dyn Future<Output = i64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        let part = leaves / CHILDREN;
        let mut children = Vec::with_capacity(CHILDREN as usize);
        for i in 0..CHILDREN {
            children.push(tokio::spawn(skynet(first + i * part, part)));
        }
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

fn runtime(threads: usize) -> Runtime {
    if threads == 1 {
        Builder::new_current_thread().build().unwrap()
    } else {
        Builder::new_multi_thread().worker_threads(threads).build().unwrap()
    }
}

fn argument(i: usize) -> usize {
    std::env::args().nth(i).unwrap().parse().unwrap()
}

fn main() {
    let runtime = runtime(argument(1));
    for i in 0..=argument(2) {
        let begin = Instant::now();
        let sum = runtime.block_on(async { tokio::spawn(skynet(0, LEAVES)).await.unwrap() });
        assert_eq!(sum, LEAF_SUM);
        if i > 0 {
            println!("{}", begin.elapsed().as_secs_f64() * 1e3);
        }
    }
}
