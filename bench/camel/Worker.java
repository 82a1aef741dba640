import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.main.Main;
import org.apache.camel.model.dataformat.JsonLibrary;
import org.apache.camel.processor.aggregate.GroupedBodyAggregationStrategy;

/**
 * Apache Camel on the same job, in both ways that its documents offer: `batching`, where the consumer
 * hands over a poll as a list, and `aggregate`, where each event goes through the aggregator.
 *
 * <p>Knows nothing of limits, retries or dead letters, and with `aggregate` a kill loses what waits in
 * memory.
 */
public final class Worker extends RouteBuilder {
    private static final int CALLS_MAX = 500;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One event; what of it is sent on is a Call. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Event {
        @JsonProperty("flow-id") public String flowId;
        @JsonProperty("client-identifier") public String clientIdentifier;
        @JsonProperty("contact-numbers") public List<String> contactNumbers;
        @JsonProperty("keys") public List<Key> keys;
    }

    public static class Key {
        @JsonProperty("name") public String name;
        @JsonProperty("value") public String value;
    }

    public record Call(
            @JsonProperty("client-identifier") String clientIdentifier,
            @JsonProperty("contact-numbers") List<String> contactNumbers,
            @JsonProperty("keys") List<Key> keys) {}

    public record Body(
            @JsonProperty("api-version") String apiVersion,
            @JsonProperty("security-id") String securityId,
            @JsonProperty("flow-id") String flowId,
            @JsonProperty("calls") List<Call> calls) {}

    public record Result(
            @JsonProperty("client-identifier") String clientIdentifier,
            @JsonProperty("flow-id") String flowId,
            @JsonProperty("status") String status,
            @JsonProperty("request-id") String requestId) {}

    public static void main(String[] arguments) throws Exception {
        Main main = new Main();
        main.configure().addRoutesBuilder(new Worker());
        main.run();
    }

    @Override
    public void configure() {
        String brokers = "?brokers=" + of("BOOTSTRAP");
        String consumer = "kafka:" + of("REQUESTS") + brokers + "&groupId=" + of("RESULTS")
                + "&autoOffsetReset=earliest&isolationLevel=read_committed&maxPollRecords=5000";
        if (of("PATTERN").equals("batching")) {
            from(consumer + "&batching=true&batchingIntervalMs=1000")
                    .process(Worker::byFlow)
                    .split(body())
                    .to("direct:request");
        } else {
            from(consumer)
                    .unmarshal().json(JsonLibrary.Jackson, Event.class)
                    .aggregate(new GroupedBodyAggregationStrategy())
                    .body(Event.class, event -> event.flowId)
                    .completionSize(CALLS_MAX)
                    .completionTimeout(1000)
                    .to("direct:request");
        }
        from("direct:request")
                .process(Worker::request)
                .to(of("URL"))
                .process(Worker::results)
                .to("kafka:" + of("RESULTS") + brokers);
    }

    private static String of(String name) {
        return System.getenv("BENCH_" + name);
    }

    /** A poll's exchanges become lists of at most CALLS_MAX events of one flow. */
    private static void byFlow(Exchange exchange) throws Exception {
        Map<String, List<Event>> open = new LinkedHashMap<>();
        List<List<Event>> batches = new ArrayList<>();
        for (Object each : exchange.getMessage().getBody(List.class)) {
            String value = ((Exchange) each).getMessage().getBody(String.class);
            Event event = JSON.readValue(value, Event.class);
            List<Event> batch = open.computeIfAbsent(event.flowId, flow -> new ArrayList<>());
            batch.add(event);
            if (batch.size() == CALLS_MAX) {
                batches.add(open.remove(event.flowId));
            }
        }
        batches.addAll(open.values());
        exchange.getMessage().setBody(batches);
    }

    private static void request(Exchange exchange) throws Exception {
        List<Event> events = exchange.getMessage().getBody(List.class);
        List<Call> calls = new ArrayList<>(events.size());
        for (Event event : events) {
            calls.add(new Call(event.clientIdentifier, event.contactNumbers, event.keys));
        }
        exchange.setProperty("events", events);
        exchange.getMessage().removeHeaders("*");
        exchange.getMessage().setHeader(Exchange.CONTENT_TYPE, "application/json");
        Body body = new Body("1.0", "none", events.get(0).flowId, calls);
        exchange.getMessage().setBody(JSON.writeValueAsBytes(body));
    }

    private static void results(Exchange exchange) throws Exception {
        JsonNode answer = JSON.readTree(exchange.getMessage().getBody(byte[].class));
        String requestId = answer.get("request-id").asText();
        List<Event> events = exchange.getProperty("events", List.class);
        List<String> results = new ArrayList<>(events.size());
        for (Event event : events) {
            results.add(JSON.writeValueAsString(
                    new Result(event.clientIdentifier, event.flowId, "accepted", requestId)));
        }
        exchange.getMessage().removeHeaders("*");
        exchange.getMessage().setBody(results);
    }
}
