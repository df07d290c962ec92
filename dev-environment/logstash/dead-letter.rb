# Makes a new event of a rejected one: the line as a string, which no mapping rejects, and the reason. As a new event, it
# goes to this pipeline's own dead letter queue if Elasticsearch rejects even that.

def register(_params)
end

def filter(event)
  refusal = event.get("[@metadata][dead_letter_queue]") || {}
  reason = refusal["reason"].to_s
  letter = LogStash::Event.new(
    "service" => "dead-letter",
    "level" => "error",
    "message" => (event.get("[@metadata][line]") || event.to_hash.inspect)[0, 1_048_576],
    # The reason repeats the whole event before it states the cause.
    "error" => { "message" => reason.sub(/, action: .*, response: /m, ", response: ")[0, 10_000], "type" => refusal["plugin_id"] }
  )
  letter.set("@timestamp", refusal["entry_time"]) if refusal["entry_time"].is_a?(LogStash::Timestamp)
  letter.set("[@metadata][of]", [event.get("[@metadata][doc_id]"), refusal["entry_time"].to_s].join(" "))
  [letter]
end
