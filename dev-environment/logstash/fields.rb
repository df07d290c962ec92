# Gives the fields of a line our names and the shapes that the index template has for them, whichever program wrote it.
# What has no place moves into `extra`, a flattened field that takes every shape.
require "json"

# Our names, each with the names that loggers use for it: the first that a line has is taken.
NAMES = {
  "timestamp" => %w[timestamp @timestamp time ts datetime @t],
  "level" => %w[log.level level severity levelname @l],
  "message" => %w[message msg short_message @m],
  "environment" => %w[environment service.environment],
  "version" => %w[version service.version],
  "service" => %w[service.name service], # after those that are within it
  "context" => %w[context log.logger logger logger_name],
  "trace_id" => %w[trace.id trace_id traceId otelTraceID],
  "span_id" => %w[span.id span_id spanId otelSpanID],
  "error.type" => %w[error.type error.name],
  "error.stack" => %w[error.stack error.stack_trace stack stack_trace stacktrace],
  "host.name" => %w[host.name hostname],
  "http.method" => %w[http.method http.request.method],
  "http.status_code" => %w[http.status_code http.response.status_code],
  "http.path" => %w[http.path url.path]
}
# Objects that some programs write as a string, and the field that the string becomes. Winston's `trace` is a stack.
TEXTS = { "error" => "error.message", "event" => "event.action", "host" => "host.name", "trace" => "error.stack" }
SYSLOG = %w[critical critical critical error warning info info debug] # GELF's levels, 0 to 7
TENS = %w[debug debug info warning error critical] # those of pino and bunyan, 10 to 60
SECONDS = /\A-?\d{1,20}(\.\d{1,9})?\z/ # or milliseconds, microseconds, nanoseconds
FREE = /\A[[:alnum:]][[:word:]-]{0,99}\z/ # names that Logstash, Elasticsearch and Kibana all take
LONGEST = 1_048_576 # characters of a line: the limit of the TCP port, for files as well
DEEPEST = 15 # levels below `extra`; Elasticsearch takes 20

def register(params)
  @properties = JSON.parse(File.read(params["template"]))["template"]["mappings"]["properties"]
  @properties.delete("@timestamp") # Logstash's own
end

def filter(event)
  text, fields = read(event)
  # The inputs add the host and the path that Logstash sees.
  event.to_hash.each_key { |name| event.remove(name) unless name.start_with?("@") }
  fields.each { |name, value| event.set("[#{name}]", value) }
  event.set("[@metadata][line]", text[0, LONGEST])
  event.set("[@metadata][identity]", text)
  [event]
end

# Everything that the line says, as one text, and its fields. Of a line that this fails at, the text is kept.
def read(event)
  line = event.get("line")
  text = line.nil? ? event.get("message").to_s : canonical(line)
  is_object = line.is_a?(Hash)
  is_long = text.length > LONGEST
  fields = is_object && !is_long ? fields_of(line, event.get("message_json")) : { "message" => text[0, LONGEST] }
  fields["tags"] ||= []
  fields["tags"] << "_jsonparsefailure" unless is_object
  fields["tags"] << "_line_too_long" if is_long
  [text, fields]
rescue Exception => problem # JRuby's stack overflow is no StandardError, and would stop the pipeline at every start
  text = event.get("line").inspect
  exception = "#{problem.class}: #{problem.message}"
  [text, { "message" => text[0, LONGEST], "tags" => ["_rubyexception"], "extra" => { "exception" => exception } }]
end

# One text for one content, in whatever order its fields are.
def canonical(value)
  JSON.generate(sorted(value), max_nesting: 0)
end

def sorted(value)
  case value
  when Hash then value.sort.to_h { |name, each| [name, sorted(each)] }
  when Array then value.map { |each| sorted(each) }
  else finite(value)
  end
end

# JSON has no infinity, which Java makes of 1e999.
def finite(value)
  value.is_a?(Float) && !value.finite? ? value.to_s : value
end

def fields_of(line, message_json)
  extra = {}
  line = unfolded(line)
  line.delete("version") if line.key?("short_message") # GELF's own
  tags = tags_of(line)
  line["message_json"] = message_json if message_json
  line["message"] = line.delete("event") if line["event"].is_a?(String) && NAMES["message"].none? { |name| line[name] }
  line["error"] = line.delete("err") if line["error"].nil? && line["err"]
  TEXTS.each { |name, place| put(line, place, line.delete(name), extra) if line[name].is_a?(String) }
  NAMES.each { |ours, theirs| rename(line, ours, theirs, extra) }
  line["level"] = level(line["level"])
  line["timestamp"] = time(line["timestamp"])
  if (message = line["message"]) && !message.is_a?(String)
    line["message_json"] ||= message if message.is_a?(Hash)
    line["message"] = canonical(message)
  end
  fields = fit(line, @properties, "", extra)
  fields["extra"] = extra.merge(fields["extra"] || {}) unless extra.empty?
  %w[extra message_json].each { |name| fields[name] = tame(fields[name], 0) if fields[name] }
  fields["tags"] = tags
  fields
end

# `{"log.level": "info"}` becomes `{"log": {"level": "info"}}`, unless something stands in its way.
def unfolded(line)
  line.keys.sort.each_with_object({}) do |name, found|
    parts = name.split(".", -1)
    whole = !parts.length.between?(1, 6) || parts.any? { |part| part !~ FREE }
    found[name] = line[name] if whole || !put(found, name, line[name], nil)
  end
end

def tags_of(line)
  tags = line["tags"]
  return [] if tags.is_a?(Hash) || !plain?(tags)
  line.delete("tags")
  [tags].flatten.compact.map { |tag| tag.to_s[0, 200] }
end

def rename(line, ours, theirs, extra)
  found = theirs.find { |name| (value = look(line, name)) && plain?(value) && !value.to_s.strip.empty? }
  put(line, ours, take(line, found), extra) if found && found != ours
end

def look(line, name)
  line.fetch(name) { name.split(".").reduce(line) { |inner, part| inner.is_a?(Hash) ? inner[part] : nil } }
end

def take(line, name)
  return line.delete(name) if line.key?(name)
  *parents, last = name.split(".")
  parents.reduce(line) { |inner, part| inner[part] }.delete(last)
end

# Sets a field; what stood in its place moves to `extra`, or without one stays, and the answer is false.
def put(line, name, value, extra)
  *parents, last = name.split(".")
  inner = parents.reduce(line) do |holder, part|
    unless holder[part].is_a?(Hash)
      return false if extra.nil? && holder.key?(part)
      extra[part] = holder[part] unless holder[part].nil?
      holder[part] = {}
    end
    holder[part]
  end
  return false if extra.nil? && inner.key?(last)
  extra[name] = inner[last] unless inner[last].nil? || inner[last] == {}
  inner[last] = value
  true
end

def level(value)
  return value.downcase if value.is_a?(String)
  return value unless value.is_a?(Integer)
  return SYSLOG[value] if (0..7).cover?(value)
  [10, 20, 30, 40, 50, 60].include?(value) ? TENS[value / 10 - 1] : value.to_s
end

# A number is a time in the unit that its size tells.
def time(value)
  return value unless value.is_a?(Numeric) || value.is_a?(String)
  return value unless value.to_s.match?(SECONDS)
  number = Rational(value.to_s)
  unit = [11, 14, 17, 20].index { |digits| number < 10**digits }
  return value.to_s if unit.nil? || number.negative?
  nanoseconds = (number * 10**(9 - 3 * unit)).floor
  Time.at(0, nanoseconds, :nsec).utc.strftime(nanoseconds % 1000 == 0 ? "%Y-%m-%dT%H:%M:%S.%6NZ" : "%Y-%m-%dT%H:%M:%S.%9NZ")
end

# The fields that the index takes as they are; the others move to `extra`.
def fit(fields, properties, path, extra)
  fields.each_with_object({}) do |(name, value), kept|
    next if value.nil? || value == {}
    known = properties[name]
    bare = name.sub(/\A_+/, "") # GELF's additional fields
    if known && known["properties"] && value.is_a?(Hash)
      inner = fit(value, known["properties"], "#{path}#{name}.", extra)
      kept[name] = inner unless inner.empty?
    elsif known && takes?(known, value)
      kept[name] = sorted(value)
    elsif known.nil? && path.empty? && alike?(value) && bare.match?(FREE) && (bare == name || (fields[bare] || properties[bare]).nil?)
      kept[bare] = sorted(value)
    else
      extra["#{path}#{name}"] = value
    end
  end
end

def takes?(mapping, value)
  case mapping["type"]
  when "flattened" then value.is_a?(Hash)
  when nil, "alias" then false
  when "date_nanos" then value.is_a?(String)
  else plain?(value)
  end
end

def plain?(value)
  value.is_a?(Array) ? value.all? { |each| plain?(each) } : !value.is_a?(Hash)
end

# Whether the values are of one kind: Elasticsearch gives a new field the type of the first and rejects another beside it.
def alike?(value)
  return false unless plain?(value)
  kinds = [value].flatten.compact.map { |each| [String, Integer, Numeric].find { |kind| each.is_a?(kind) } }
  kinds.uniq.length < 2
end

# What `extra` takes: no names that are empty, long or hold control characters; what is nested too deep becomes text.
def tame(value, depth)
  return canonical(value) if depth > DEEPEST && (value.is_a?(Hash) || value.is_a?(Array))
  case value
  when Hash then value.to_h { |name, each| [tame_name(name), tame(each, depth + 1)] }
  when Array then value.map { |each| tame(each, depth + 1) }
  else finite(value)
  end
end

def tame_name(name)
  name = name.gsub(/[[:cntrl:]]/, "_")[0, 200]
  name.match?(/[^\s.]/) ? name : "_"
end
