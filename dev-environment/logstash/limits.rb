# Bounds what lines can make the cluster hold: days, services with an index of their own, and fields of an index.
require "json"

def register(params)
  @properties = JSON.parse(File.read(params["template"]))["template"]["mappings"]["properties"]
  @oldest = params["days_back"] * 86_400
  @newest = params["days_ahead"] * 86_400
  @ours = params["ours"].split(",").map(&:strip)
  @most_services = params["services"]
  @most_fields = params["fields"]
  @taken = {}
  @lock = Mutex.new # for the pipeline's workers, which share all this
end

def filter(event)
  bound_time(event)
  day = event.timestamp.time.strftime("%Y.%m.%d")
  bound_service(event, day)
  bound_fields(event, day)
  [event]
end

# A time that is none, or too far away to choose the index, is kept as text; the line has the time of its arrival.
def bound_time(event)
  arrival = event.get("[@metadata][arrival]")
  age = arrival.to_f - event.timestamp.to_f
  is_wrong = (event.get("tags") || []).include?("_dateparsefailure")
  event.tag("_timestamp_out_of_bounds") if age > @oldest || age < -@newest
  return unless is_wrong || age > @oldest || age < -@newest
  event.set("@timestamp", arrival)
  event.set("[extra][timestamp]", event.remove("timestamp"))
end

# The field `service` chooses the index, so a service without a place shares the index of the others.
def bound_service(event, day)
  service = event.get("service")
  return if @ours.include?(service) || place?(day, service, @most_services)
  event.set("[extra][service]", service)
  event.set("service", "other")
end

# A name that the index has no room for would be stored and never found; below `extra` it is found.
def bound_fields(event, day)
  event.to_hash.each do |name, value|
    next if name.start_with?("@") || @properties.key?(name) || place?([day, event.get("service")], name, @most_fields)
    event.remove(name)
    event.set("[extra][#{name}]", value)
  end
end

# Whether this name has a place, or gets one of those that are left.
def place?(where, name, most)
  @lock.synchronize do
    @taken.shift while @taken.size > 10_000
    names = (@taken[where] ||= {})
    names.key?(name) || (names.size < most && names[name] = true)
  end
end
