#!/bin/bash
# A workflow of real processes: 3 phases of 4 tasks, each phase by 4 agents at once, which work and publish. In phase 2
# agent_3 is killed in the middle of its task, and agent_1 does that task again. Called as `run.sh WFR NOTES` in the
# workspace; NOTES gets what was true at each phase's end, for comparison.
set -eu
wfr=$1
notes=$2
doomed=t2_3

event() { "$wfr" event --quiet "$1:wf:$2:$3"; }

# agent NAME PHASE TASK
agent() {
  event TASK_STARTED "$2" "{\"task_id\": \"$3\", \"agent_id\": \"$1\"}"
  mkdir -p "work/$2" log
  for part in 1 2 3 4 5; do
    echo "part $part of $3 by $1" >> "work/$2/$3"
    echo "$3 $part" >> "log/$1"
    if [ "$1 $3 $part" = "agent_3 $doomed 3" ]; then
      echo half > "$notes/half"
      read -r _ < "$notes/never"
    fi
  done
  event TASK_COMPLETED "$2" "{\"task_id\": \"$3\", \"agent_id\": \"$1\"}"
}

# What the tree and the state are, told beside them.
note() {
  find . -path ./.claude -prune -o -type f -print | sort | xargs sha256sum > "$notes/$1.sums"
  "$wfr" get-state wf --format hub --json > "$notes/$1.state"
}

mkfifo "$notes/half" "$notes/never"
event WORKFLOW_STARTED global '{}'
for phase in 1 2 3; do
  event PHASE_STARTED "$phase" '{}'
  declare -A pids=()
  for number in 1 2 3 4; do
    agent "agent_$number" "$phase" "t${phase}_$number" &
    pids[$number]=$!
  done
  if [ "$phase" = 2 ]; then
    read -r _ < "$notes/half"
    kill -KILL "${pids[3]}"
  fi
  failed=()
  for number in 1 2 3 4; do
    code=0
    wait "${pids[$number]}" || code=$?
    [ "$code" -eq 0 ] || failed+=("$number $code")
  done
  for one in ${failed[@]+"${failed[@]}"}; do
    read -r number code <<< "$one"
    task=t${phase}_$number
    "$wfr" handle-error wf --quiet --scope task --severity high --task "$task" --agent "agent_$number" \
      --phase "$phase" --error-message "killed: exit code $code"
    note failed
    rm "work/$phase/$task"
    event TASK_REASSIGNED "$phase" \
      "{\"task_id\": \"$task\", \"old_agent\": \"agent_$number\", \"new_agent\": \"agent_1\", \"reason\": \"killed\"}"
    agent agent_1 "$phase" "$task"
  done
  event PHASE_COMPLETED "$phase" '{}'
  note "phase_$phase"
done
event WORKFLOW_COMPLETED global '{}'
note end
