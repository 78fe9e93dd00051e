#!/bin/bash
# usage: .land.sh ; rebases and ff-merges
set -e
cd /work/w/streams; git rebase -q main && cargo check -q --all-targets -p weir-tap -p weir && cd /work/main && git merge -q --ff-only streams && git log --oneline -1
