import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.Permission;

import org.apache.cassandra.tools.INodeProbeFactory;
import org.apache.cassandra.tools.NodeTool;
import org.apache.cassandra.tools.Output;

/**
 * Runs nodetool for many calls in one process: a JVM for each takes ten times as much of the processor as the call itself.
 *
 * Usage: NodetoolServer FILE. Listens on a free port of 127.0.0.1, which is then in FILE. A call is the number of its words and the
 * words, each ended by a zero byte. The answer is a line of exit status and number of lines of standard error, those lines, and
 * standard output. Calls run beside each other. Needs -Djava.security.manager=allow: nodetool ends its process, which here must only
 * end the call.
 */
public class NodetoolServer {
    /** A tool's wish to end. */
    private static final class Ended extends SecurityException {}

    /** One call, which is its thread's. */
    private static final class Call {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();
        final ByteArrayOutputStream err = new ByteArrayOutputStream();
        Integer status;

        /** A stream of the call; what comes after its end is not said. */
        PrintStream stream(ByteArrayOutputStream bytes) {
            return new PrintStream(new OutputStream() {
                @Override
                public void write(int octet) {
                    write(new byte[] { (byte) octet }, 0, 1);
                }

                @Override
                public void write(byte[] octets, int start, int length) {
                    if (status == null) {
                        bytes.write(octets, start, length);
                    }
                }
            }, true, StandardCharsets.UTF_8);
        }

        void run(String[] words) throws ReflectiveOperationException {
            Constructor<?> factory = Class.forName("org.apache.cassandra.tools.NodeProbeFactory").getDeclaredConstructor();
            factory.setAccessible(true);
            Output output = new Output(stream(out), stream(err));
            int returned = new NodeTool((INodeProbeFactory) factory.newInstance(), output).execute(words);
            status = status == null ? Integer.valueOf(returned) : status;
        }
    }

    private static final ThreadLocal<Call> CURRENT = new ThreadLocal<>();

    @SuppressWarnings("removal")
    public static void main(String[] arguments) throws IOException {
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkExit(int status) {
                Call call = CURRENT.get();
                if (call != null) {
                    call.status = call.status == null ? Integer.valueOf(status) : call.status;
                    throw new Ended();
                }
            }

            @Override
            public void checkPermission(Permission permission) {}

            @Override
            public void checkPermission(Permission permission, Object context) {}
        });
        // Some commands print there themselves.
        System.setOut(new PrintStream(new OutputStream() {
            @Override
            public void write(int octet) {
                Call call = CURRENT.get();
                if (call != null && call.status == null) {
                    call.out.write(octet);
                }
            }
        }, true, StandardCharsets.UTF_8));
        ServerSocket socket = new ServerSocket(0, 64, InetAddress.getByName("127.0.0.1"));
        Path file = Path.of(arguments[0]), partial = Path.of(arguments[0] + ".new");
        Files.writeString(partial, socket.getLocalPort() + "\n");
        Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        while (true) {
            Socket client = socket.accept();
            new Thread(() -> serve(client)).start();
        }
    }

    private static void serve(Socket client) {
        Call call = new Call();
        CURRENT.set(call);
        try (client) {
            call.run(words(new DataInputStream(client.getInputStream())));
            String said = call.err.toString(StandardCharsets.UTF_8);
            long lines = said.lines().count();
            String head = call.status + " " + lines + "\n" + (said.isEmpty() || said.endsWith("\n") ? said : said + "\n");
            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            answer.writeBytes(head.getBytes(StandardCharsets.UTF_8));
            call.out.writeTo(answer);
            answer.writeTo(client.getOutputStream());
        } catch (IOException | ReflectiveOperationException failed) {
            // Who called sees no answer.
            failed.printStackTrace();
        }
    }

    private static String[] words(DataInputStream input) throws IOException {
        String[] words = new String[Integer.parseInt(word(input))];
        for (int index = 0; index < words.length; index++) {
            words[index] = word(input);
        }
        return words;
    }

    private static String word(DataInputStream input) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (byte octet = input.readByte(); octet != 0; octet = input.readByte()) {
            bytes.write(octet);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }
}
