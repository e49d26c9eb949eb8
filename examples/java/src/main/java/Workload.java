import com.nimbusds.oauth2.sdk.AccessTokenResponse;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.TokenErrorResponse;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.http.HTTPRequest;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;

/**
 * A background process in Java: Nimbus' OAuth SDK gets the token, the JDK's client sends it along.
 *
 * <pre>
 * mvn -q package
 * POSTERN_ISSUER=https://tokens.example.com POSTERN_CLIENT_ID=... POSTERN_CLIENT_SECRET=... \
 *     POSTERN_AUDIENCE=https://orders.example.com java -cp 'target/*:target/libs/*' Workload https://orders.example.com/orders
 * </pre>
 */
public final class Workload {
  private final URI tokenEndpoint = URI.create(env("POSTERN_ISSUER").replaceAll("/+$", "") + "/oauth/token");
  private AccessToken token;
  private Instant renewAt = Instant.MIN;

  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 1) {
      System.err.println("usage: Workload URL");
      System.exit(2);
    }
    Workload workload = new Workload();
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(arguments[0]))
            .timeout(Duration.ofSeconds(10))
            .header("Authorization", workload.token().toAuthorizationHeader())
            .build();
    HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      System.err.println(answer.statusCode() + ": " + answer.body());
      System.exit(1);
    }
    System.out.println(answer.body());
  }

  /** The token at hand, until a minute before its end. */
  private synchronized AccessToken token() throws Exception {
    if (Instant.now().isBefore(renewAt)) {
      return token;
    }
    TokenRequest request =
        new TokenRequest.Builder(
                tokenEndpoint,
                new ClientSecretBasic(new ClientID(env("POSTERN_CLIENT_ID")), new Secret(env("POSTERN_CLIENT_SECRET"))),
                new ClientCredentialsGrant())
            .customParameter("audience", env("POSTERN_AUDIENCE"))
            .build();
    HTTPRequest http = request.toHTTPRequest();
    http.setConnectTimeout(10_000);
    http.setReadTimeout(10_000);
    TokenResponse response = TokenResponse.parse(http.send());
    if (!response.indicatesSuccess()) {
      TokenErrorResponse refusal = response.toErrorResponse();
      throw new IllegalStateException(refusal.getErrorObject().getCode() + ": " + refusal.getErrorObject().getDescription());
    }
    AccessTokenResponse success = response.toSuccessResponse();
    token = success.getTokens().getAccessToken();
    renewAt = Instant.now().plusSeconds(Math.max(0, token.getLifetime() - 60));
    return token;
  }

  private static String env(String name) {
    String value = System.getenv(name);
    if (value == null || value.isBlank()) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }
}
