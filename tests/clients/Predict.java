import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

/** Posts a picture four ways with a client as it comes, which offers HTTP/2 with an Upgrade: java Predict.java URL FILE. */
public class Predict {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var url = URI.create(arguments[0]);
        var picture = Path.of(arguments[1]);
        var known = BodyPublishers.ofFile(picture);
        var unknown = BodyPublishers.fromPublisher(BodyPublishers.ofFile(picture));
        for (BodyPublisher body : new BodyPublisher[] {known, unknown}) {
            for (boolean expects : new boolean[] {false, true}) {
                var request = HttpRequest.newBuilder(url).header("Content-Type", "image/png");
                var reply = client.send(request.expectContinue(expects).POST(body).build(), BodyHandlers.ofString());
                System.out.println(reply.statusCode() + " " + reply.body());
            }
        }
    }
}
