# Adds what callgrind counted up by part of the work: per message, for rows, fields, hashing, writing,
# pins and the rest. What was inlined counts for the function that it was inlined into.
#
# Usage: callgrind_annotate --threshold=100 --auto=no --show-percs=no FILE | awk -v messages=N -f parts.awk
function part_of(name) {
    if (name ~ /read_again|message::header/) return "rows"
    if (name ~ /message::edit/) return "writing"
    if (name ~ /strowger::message/) return "fields"
    if (name ~ /siphasher|strowger::(keyed|keys)|branch::/) return "hashing"
    if (name ~ /proxy::write|neighbour|strowger::hex|via_parameter|strowger::dialog/) return "writing"
    if (name ~ /Core::(prepare|send)|mem(cpy|move)/) return "writing"
    if (name ~ /strowger::pin/) return "pins"
    return "rest"
}
match($0, /^ *[0-9,]+ +/) && /:/ {
    count = $1
    gsub(",", "", count)
    where = substr($0, RLENGTH + 1)
    sum[part_of(substr(where, index(where, ":") + 1))] += count
}
END {
    for (part in sum) sum[part] /= messages
    printf "%6d %6d %7d %7d %6d %6d\n", sum["rows"], sum["fields"], sum["hashing"], sum["writing"], sum["pins"], sum["rest"]
}
